"""Starts parts, watches them, starts again what crashed, and ends all of it in order."""

import asyncio
import contextlib
import enum
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from taskflow_cli.local.children import tail
from taskflow_cli.local.processes import identify
from taskflow_cli.local.state import PartState
from taskflow_cli.screen import duration

_POLL_S = 0.05
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}


class Stage(enum.IntEnum):
    """Parts of a lower stage are there before those of a higher one, and after them."""

    SERVER = 0
    DISPATCHER = 1
    WORKER = 2
    API = 3


@dataclass(frozen=True)
class Part:
    """One process to keep running. Times in seconds.

    `spawn` starts it; `ready` tells whether the process that was started at the given Unix time does its
    work. It may raise: that counts as no.
    """

    name: str
    stage: Stage
    spawn: Callable[[], subprocess.Popen[bytes]]
    ready: Callable[[float], Awaitable[bool]]
    log: Path
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 10.0
    ready_s: float = 60.0


@dataclass(frozen=True)
class Backoff:
    """Pauses before a crashed part is started again; after `well_s` of running they begin anew."""

    initial_s: float = 0.5
    factor: float = 2.0
    max_s: float = 30.0
    well_s: float = 60.0

    def pause_s(self, crashes: int) -> float:
        """Return the pause after crash number `crashes` in a row (the first is 1)."""
        return float(min(self.max_s, self.initial_s * self.factor ** min(crashes - 1, 32)))


@dataclass
class Running:
    """A part and its present process."""

    part: Part
    process: subprocess.Popen[bytes]
    started: str
    started_at: float = field(default_factory=time.time)
    restarts: int = 0
    ready: bool = False

    def state(self) -> PartState:
        """Return what other commands need to know."""
        return PartState(
            name=self.part.name,
            pid=self.process.pid,
            started=self.started,
            started_at=self.started_at,
            restarts=self.restarts,
            ready=self.ready,
            log=str(self.part.log),
            stop_signal=int(self.part.stop_signal),
        )


class PartFailedError(Exception):
    """A part did not start."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        super().__init__(f"{name} {why}")
        self.name, self.why, self.log = name, why, log


class Supervisor:
    """Keeps parts running from `start` to `stop`.

    `announce` gets one sentence per crash and recovery; `changed` is called when processes changed.
    Use it from one event loop in the main thread.
    """

    def __init__(
        self,
        *,
        announce: Callable[[str], None],
        changed: Callable[[], None],
        backoff: Backoff | None = None,
    ) -> None:
        self._announce, self._changed = announce, changed
        self._backoff = backoff or Backoff()
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.running: dict[str, Running] = {}

    async def start(self, part: Part) -> None:
        """Start a part, wait until it is ready, and watch it from then on.

        Raises `PartFailedError`, whatever went wrong.
        """
        await self._until_ready(self._spawn(part, restarts=0))
        self._watchers.append(asyncio.create_task(self._watch(part), name=part.name))

    async def stop(self) -> None:
        """End everything, API first and servers last, each gently and then by force."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for stage in sorted(Stage, reverse=True):
            group = [r for r in self.running.values() if r.part.stage is stage]
            await asyncio.gather(*(self._end(running) for running in group))

    def kill(self) -> None:
        """End everything at once."""
        self._stopping = True
        for running in self.running.values():
            if running.process.poll() is None:
                running.process.kill()

    def _spawn(self, part: Part, *, restarts: int) -> Running:
        try:
            process = part.spawn()
        except Exception as error:
            raise PartFailedError(part.name, f"cannot be started: {error}", part.log) from error
        identity = identify(process.pid)
        running = Running(part, process, identity.started if identity else "", restarts=restarts)
        self.running[part.name] = running
        self._changed()
        return running

    async def _until_ready(self, running: Running) -> None:
        part, deadline = running.part, time.monotonic() + running.part.ready_s
        while not await self._is_ready(running):
            if _has_ended(running.process):
                why = f"ended while starting ({how_it_ended(running.process.returncode)})"
                raise PartFailedError(part.name, why, part.log)
            if time.monotonic() > deadline:
                raise PartFailedError(
                    part.name, f"was not ready within {duration(part.ready_s)}", part.log
                )
            await asyncio.sleep(_POLL_S)
        running.ready = True
        self._changed()

    async def _is_ready(self, running: Running) -> bool:
        try:
            return await running.part.ready(running.started_at)
        except Exception:  # noqa: BLE001 - whatever a part's dependency raises, it is not ready
            return False

    async def _watch(self, part: Part) -> None:
        crashes = 0
        while True:
            running = self.running[part.name]
            await _ended(running.process)
            lived_s = time.time() - running.started_at
            crashes = 1 if lived_s >= self._backoff.well_s else crashes + 1
            how = how_it_ended(running.process.returncode)
            self._announce(f"{part.name} ended after {duration(lived_s)} ({how})")
            await self._start_again(part, crashes, running.restarts + 1)

    async def _start_again(self, part: Part, crashes: int, restarts: int) -> None:
        while True:
            pause_s = self._backoff.pause_s(crashes)
            self._announce(f"{part.name} is started again in {duration(pause_s)} (log: {part.log})")
            await asyncio.sleep(pause_s)
            try:
                await self._until_ready(self._spawn(part, restarts=restarts))
            except PartFailedError as failed:
                last = tail(part.log, 1)
                self._announce(f"{failed}" + (f": {last}" if last else ""))
                await self._end(self.running[part.name])
                crashes, restarts = crashes + 1, restarts + 1
            else:
                self._announce(f"{part.name} runs again")
                return

    async def _end(self, running: Running) -> None:
        process = running.process
        if not _has_ended(process):
            process.send_signal(running.part.stop_signal)
            try:
                await asyncio.wait_for(_ended(process), running.part.stop_s)
            except TimeoutError:
                process.kill()
                await _ended(process)
        running.ready = False
        self._changed()


def how_it_ended(code: int) -> str:
    """Say how a process ended: by which signal, or with which exit code."""
    if code < 0:
        return f"killed by {_SIGNAL_NAMES.get(-code, f'signal {-code}')}"
    return f"exit code {code}"


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while not _has_ended(process):  # noqa: ASYNC110 - only polling tells, on every system
        await asyncio.sleep(_POLL_S)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a part has ended; what it started itself and left behind ends with it."""
    if process.returncode is not None:
        return True
    if not hasattr(os, "waitid"):  # Python 3.12 on macOS
        return process.poll() is not None
    if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        return False
    # it is dead but not yet reaped: until then no other group can have its number
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.poll() is not None
