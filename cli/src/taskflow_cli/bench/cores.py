"""Which core does what, so that a figure means the same on every machine."""

import contextlib
import os
import sys
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cores:
    """Sets of cores; both empty where we cannot or need not choose."""

    servers: frozenset[int]
    worker: frozenset[int]

    def as_json(self) -> dict[str, list[int] | str]:
        """Return what the figures were measured on."""
        if not self.worker:
            return {"all": f"not pinned, {os.cpu_count()} cores"}
        return {"servers_and_load": sorted(self.servers), "worker": sorted(self.worker)}


def choose() -> Cores:
    """Give the servers and the load one core, and the worker another."""
    if sys.platform != "linux":
        return Cores(frozenset(), frozenset())
    ours = sorted(os.sched_getaffinity(0))
    if len(ours) < 2:  # noqa: PLR2004 - one for each
        return Cores(frozenset(), frozenset())
    return Cores(frozenset(ours[:1]), frozenset(ours[1:2]))


def loop_ms() -> float:
    """Return how long a fixed loop of a million additions takes here now, milliseconds.

    Figures of two machines, or of one at two times, can only be compared beside it.
    """
    best = float("inf")
    for _ in range(3):
        began, total = time.perf_counter(), 0
        for number in range(1_000_000):
            total += number
        best = min(best, time.perf_counter() - began)
    return best * 1000


def pin(pid: int, cores: frozenset[int]) -> None:
    """Keep a process, its threads and its children on some cores."""
    if not cores or sys.platform != "linux":
        return
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        for thread in one.threads():
            os.sched_setaffinity(thread.id, cores)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and its living children, seconds."""
    process = psutil.Process(pid)
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a short-lived child of PostgreSQL
            times = one.cpu_times()
            total += times.user + times.system
    return total
