"""Processes by pid and start time."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from taskflow_cli.local import state
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.leftovers import end_leftovers
from taskflow_cli.local.processes import ProcessId, end, identify, runs, send, wait_ended

_SLEEP = "import time; print('up', flush=True); time.sleep(600)"
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + _SLEEP


def start(code: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[str]]:
    with start(_SLEEP) as process:
        yield process
        process.kill()


def known(process: subprocess.Popen[str]) -> ProcessId:
    identity = identify(process.pid)
    assert identity is not None
    return identity


def recycled(process: ProcessId) -> ProcessId:
    return msgspec.structs.replace(process, started=f"{process.started}0")


def test_a_process_is_itself_until_it_ends(sleeper: subprocess.Popen[str]) -> None:
    process = known(sleeper)
    assert runs(process)
    assert identify(sleeper.pid) == process

    sleeper.kill()

    assert wait_ended(process, 5), "also while nobody has reaped it"
    assert identify(sleeper.pid) is None


def test_two_processes_are_never_the_same() -> None:
    me, parent = identify(os.getpid()), identify(os.getppid())

    assert me is not None
    assert parent is not None
    assert me != parent


def test_a_stranger_with_the_same_pid_is_not_signalled(sleeper: subprocess.Popen[str]) -> None:
    stranger = recycled(known(sleeper))

    assert not send(stranger, signal.SIGKILL)
    end(stranger, signal.SIGKILL, grace_s=0)

    assert runs(known(sleeper))


def test_nobody_is_signalled_when_nobody_is_there(sleeper: subprocess.Popen[str]) -> None:
    process = known(sleeper)
    sleeper.kill()
    sleeper.wait()

    assert not send(process, signal.SIGTERM)


def test_who_does_not_listen_is_ended_by_force() -> None:
    with start(_DEAF) as deaf:
        process = known(deaf)

        end(process, signal.SIGTERM, grace_s=0.2)

        assert not runs(process)
        assert deaf.wait() == -signal.SIGKILL


def test_leftovers_are_ended_and_strangers_are_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[str]
) -> None:
    data = DataDirectory.at(tmp_path)
    with start(_SLEEP) as orphan:
        parts = tuple(
            state.PartState(name, process.pid, process.started, 0.0, 0, True, "", 15)
            for name, process in (
                ("orphan", known(orphan)),
                ("stranger", recycled(known(sleeper))),
            )
        )
        gone = ProcessId(orphan.pid, "long ago")
        state.State(gone, parts).write(data.state)

        assert end_leftovers(data) == ["orphan"]
        assert orphan.wait() == -signal.SIGTERM

    assert runs(known(sleeper))
    assert end_leftovers(data) == []
