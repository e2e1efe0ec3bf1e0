"""The command line itself: help, versions, and errors in one sentence."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from taskflow_cli import main as entry


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        entry.main(list(arguments))
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def commands() -> list[tuple[str, ...]]:
    context = click.Context(entry.cli)
    found: list[tuple[str, ...]] = []
    for name in entry.cli.list_commands(context):
        command = entry.cli.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_has_an_example(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code, out, _ = run(capsys, *command, "--help")

    assert code == 0
    assert "Example:  " in out
    assert "taskflow " + " ".join(command) in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, "taskflow 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "nonsense"),
        (("up", "--port", "99999"), "--port"),
        (("up", "--workers", "0"), "--workers"),
        (("up", "--nonsense"), "--nonsense"),
        (("logs", "-n", "-1"), "-n"),
        (("submit",), "HANDLER"),
        (("submit", "echo", "--payload", "{"), "--payload"),
        (("submit", "echo", "--priority", "urgent"), "--priority"),
        (("submit", "echo", "--url", "nonsense", "--email", "a@b.c"), "TASKFLOW_PASSWORD"),
        (("db", "retain", "--older-than", "soon"), "--older-than"),
        (("db", "migrate"), "DATABASE_URL"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, err = run(capsys, *arguments)

    assert code == 2
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1


def test_a_bad_variable_is_named_without_its_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "mysql://root:hunter2@db/x")

    code, _, err = run(capsys, "up")

    assert code == 2
    assert "DATABASE_URL" in err
    assert "hunter2" not in err


@pytest.mark.parametrize("command", [("status",), ("logs",), ("down",)])
def test_where_nothing_ever_ran_commands_say_so(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, err = run(capsys, *command)

    assert code == {"status": 1, "logs": 2, "down": 0}[command[0]]
    assert str(tmp_path / ".taskflow") in out + err
    assert list(tmp_path.iterdir()) == [], "asking makes nothing"


def test_what_the_system_refuses_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "state.json").mkdir()

    code, _, err = run(capsys, "status", "--data", str(tmp_path))

    assert code == 1
    assert err == f"{tmp_path / 'state.json'}: Is a directory.\n"


def test_help_imports_neither_a_web_framework_nor_a_migration_tool() -> None:
    look = (
        "import sys; from taskflow_cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('fastapi', 'alembic', 'sqlmodel', 'redis') if m in sys.modules])"
    )
    seen = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    ).stdout

    assert seen.splitlines()[-1] == "[]"


def test_a_reader_that_has_seen_enough_hears_no_complaint(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(parents=True)
    (tmp_path / "logs" / "api.log").write_text("line\n" * 100_000)
    command = [
        sys.executable,
        "-m",
        "taskflow_cli",
        "logs",
        "-n",
        "100000",
        "--data",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        reader.stdout.readline()
        reader.stdout.close()

        assert reader.stderr.read() == b""
