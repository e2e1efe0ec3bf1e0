"""Handler packages are found by entry point, and a broken one is named."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from taskflow_worker.broker import broker
from taskflow_worker.discovery import GROUP, HandlersBroken, load_handlers


def install(folder: Path, name: str, value: str) -> None:
    """Make a distribution with one entry point importable from `folder`."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = {value}\n")


def test_the_handlers_every_worker_has_are_found() -> None:
    load_handlers()

    assert {"echo", "sleep", "fail", "http.request"} <= broker.declarations.keys()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (
            "from taskflow_worker import handler\n@handler('A b')\nasync def f(): ...",
            "BadDeclaration: handler 'A b': a name has",
        ),
    ],
)
def test_a_broken_package_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    install(tmp_path, "broken", "broken_handlers")
    (tmp_path / "broken_handlers.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(HandlersBroken) as refused:
        load_handlers()

    said = str(refused.value)
    assert said.startswith("Handlers 'broken' (taskflow.handlers = 'broken_handlers')")
    assert why in said


def test_the_message_of_a_missing_module_names_the_entry_point() -> None:
    entry = EntryPoint("emails", "my_emails.tasks", GROUP)

    assert "taskflow.handlers = 'my_emails.tasks'" in str(HandlersBroken(entry, ImportError("x")))
