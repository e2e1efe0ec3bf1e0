"""What runs, written down for the other commands and for the start after a crash."""

import os
from pathlib import Path

import msgspec

from taskflow_cli.local.data import write_private
from taskflow_cli.local.processes import ProcessId, runs


class PartState(msgspec.Struct, frozen=True):
    """One part. `started_at` in Unix seconds; `ready` once it does its work."""

    name: str
    pid: int
    started: str
    started_at: float
    restarts: int
    ready: bool
    log: str
    stop_signal: int

    @property
    def process(self) -> ProcessId:
        """Its process."""
        return ProcessId(self.pid, self.started)


class State(msgspec.Struct, frozen=True):
    """A running stack. URLs of servers are left out when they are not ours: they hold passwords."""

    supervisor: ProcessId
    parts: tuple[PartState, ...]
    ready: bool = False
    api_url: str | None = None
    database_url: str | None = None
    redis_url: str | None = None
    seeded: bool = False

    def write(self, path: Path) -> None:
        """Write it, all or nothing."""
        write_private(path, msgspec.json.format(msgspec.json.encode(self)).decode() + os.linesep)


def read(path: Path) -> State | None:
    """Return what was written last; None if nothing was, or nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def running(path: Path) -> State | None:
    """Return the state of a stack whose supervisor runs now."""
    state = read(path)
    return state if state is not None and runs(state.supervisor) else None
