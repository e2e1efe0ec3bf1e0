"""What is written down about a running stack."""

import os
import stat
from pathlib import Path

import msgspec
import pytest

from taskflow_cli.local import state
from taskflow_cli.local.processes import ProcessId, identify


def me() -> ProcessId:
    process = identify(os.getpid())
    assert process is not None
    return process


def test_what_is_written_is_read_again_by_its_owner_only(tmp_path: Path) -> None:
    part = state.PartState("api", 1, "x", 2.0, 3, True, "/log", 15)
    written = state.State(me(), (part,), ready=True, api_url="http://x", database_url="p")

    written.write(tmp_path / "state.json")

    assert state.read(tmp_path / "state.json") == written
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"supervisor": 1}'])
def test_what_cannot_be_read_is_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)

    assert state.read(tmp_path / "state.json") is None
    assert state.read(tmp_path / "nothing.json") is None


def test_it_runs_only_while_that_very_process_runs(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    state.State(me(), ()).write(file)
    assert state.running(file) is not None

    recycled = msgspec.structs.replace(me(), started="another time")
    state.State(recycled, ()).write(file)

    assert state.running(file) is None
