"""Processes by pid *and* start time, so that a recycled pid is never taken for one of ours."""

import os
import signal
import sys
import time
from pathlib import Path

import msgspec
import psutil

_POLL_S = 0.02


class ProcessId(msgspec.Struct, frozen=True):
    """One life of a process. `started` only serves to be compared."""

    pid: int
    started: str


def identify(pid: int) -> ProcessId | None:
    """Return who has this pid now; None if nobody has, or one that has ended (a zombie)."""
    started = _linux_start(pid) if sys.platform == "linux" else _start(pid)
    return None if started is None else ProcessId(pid, started)


def runs(process: ProcessId) -> bool:
    """Tell whether that very process still runs."""
    return identify(process.pid) == process


def send(process: ProcessId, number: signal.Signals) -> bool:
    """Send a signal to that very process; tell whether it was there.

    Raises `PermissionError` when it belongs to another user.
    """
    try:
        if sys.platform == "linux":
            # the descriptor pins the process: it cannot be replaced between the look and the signal
            descriptor = os.pidfd_open(process.pid)
            try:
                if not runs(process):
                    return False
                signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        elif runs(process):
            os.kill(process.pid, number)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def wait_ended(process: ProcessId, timeout_s: float) -> bool:
    """Wait until it has ended; tell whether it has."""
    deadline = time.monotonic() + timeout_s
    while runs(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def end(process: ProcessId, number: signal.Signals, *, grace_s: float) -> None:
    """Ask a process to end, and end it by force after `grace_s` seconds."""
    if send(process, number) and not wait_ended(process, grace_s):
        send(process, signal.SIGKILL)
        wait_ended(process, 5.0)


def _linux_start(pid: int) -> str | None:
    """Return boot and start tick: unlike a time of day, no correction of the clock moves them."""
    try:
        # after the program's name, which may hold spaces and parentheses: state is the first field
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{fields[19]}"


def _start(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None
