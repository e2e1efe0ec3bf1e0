"""Reading the logs of parts."""

from pathlib import Path

import pytest

from taskflow_cli.commands.logs import Tail, readable


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "api.log"
    path.write_text("one\ntwo\nthree\n")
    return path


def test_the_last_lines_come_first(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Tail(log, prefix=False) as tail:
        tail.show_last(2)

    assert capsys.readouterr().out == "two\nthree\n"


def test_with_several_logs_each_line_says_whose_it_is(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tail(log, prefix=True) as tail:
        tail.show_last(1)

    assert capsys.readouterr().out == "api        three\n"


def test_new_lines_follow_once_they_are_whole(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tail(log, prefix=False) as tail, log.open("a") as writer:
        tail.show_last(0)
        writer.write("fo")
        writer.flush()
        assert tail.show_new() == 0
        writer.write("ur\nfive\n")
        writer.flush()
        assert tail.show_new() == 2

    assert capsys.readouterr().out == "four\nfive\n"


def test_a_log_that_was_put_aside_is_followed_into_the_new_one(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Tail(log, prefix=False) as tail:
        tail.show_last(0)
        log.rename(log.with_suffix(".log.1"))
        log.write_text("begun anew\n")

        assert tail.show_new() == 0
        assert tail.show_new() == 1

    assert capsys.readouterr().out == "begun anew\n"


def test_json_lines_are_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    line = (
        '{"event": "worker.claim_lost", "level": "warning", "n": 3,'
        ' "timestamp": "2026-01-01T10:20:30.123456Z"}'
    )

    assert readable(line) == "10:20:30.123 warning worker.claim_lost n=3"


@pytest.mark.parametrize("line", ["plain text", "{", "[1]", '{"event": "no time"}', "null"])
def test_other_lines_stay_as_they_are(line: str) -> None:
    assert readable(line) == line
