"""The heartbeat: one UPDATE every few seconds, from a thread with an event loop of its own.

A thread, because a lease must not be lost while its owner lives: an `async def` handler that computes for
a minute stops the worker's event loop, but not this one. Only a loop that has stood still for minutes is
taken for dead; then the heart stops too, and the dispatcher gives the tasks to others.
"""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable

import structlog

from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_core.settings import DatabaseSettings
from taskflow_worker.supervision import supervised
from taskflow_worker.tempo import Tempo

_log = structlog.get_logger(__name__)


class Heart:
    """Keeps the lease of `session`, the worker's present one.

    `on_over` is called in the worker's event loop with a session that the dispatcher has ended.
    `turned_at` says when that loop last turned (monotonic).
    """

    def __init__(
        self,
        database: DatabaseSettings,
        tempo: Tempo,
        *,
        on_over: Callable[[int], None],
        turned_at: Callable[[], float],
    ) -> None:
        self._database, self._tempo = database, tempo
        self._on_over, self._turned_at = on_over, turned_at
        self._session: int | None = None
        self._beaten_at = time.monotonic()
        self._worker_loop = asyncio.get_running_loop()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        run = contextvars.copy_context().run  # for what is bound to the log
        self._thread = threading.Thread(
            target=run, args=(self._live,), name="heartbeat", daemon=True
        )

    @property
    def age_s(self) -> float:
        """For how long PostgreSQL has not confirmed the lease, seconds."""
        return time.monotonic() - self._beaten_at

    @property
    def is_alive(self) -> bool:
        """Whether its thread is there."""
        return self._thread.is_alive()

    def beat_for(self, session: int | None, opened_at: float) -> None:
        """Keep the lease of another session, opened at `opened_at` (monotonic); None: of none."""
        self._session, self._beaten_at = session, opened_at

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    async def stop(self) -> None:
        """Beat no more."""
        self._session = None
        if self._loop is not None and self._main is not None:
            self._loop.call_soon_threadsafe(self._main.cancel)
        await asyncio.to_thread(self._thread.join, 1.0)

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._main = self._loop.create_task(supervised("heartbeat", self._beat_for_ever))
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)

    async def _beat_for_ever(self) -> None:
        link = Link(self._database, application_name="taskflow-worker-heart")
        try:
            while True:
                await asyncio.sleep(self._tempo.beat_every_s)
                await self._beat(link)
        finally:
            await link.close()

    async def _beat(self, link: Link) -> None:
        session = self._session
        if session is None:
            return
        asked = time.monotonic()
        if asked - self._turned_at() > self._tempo.blocked_loop_s:
            _log.error("worker.loop_blocked", for_s=round(asked - self._turned_at()))
            return
        alive = await link.fetch(statements.BEAT, session)
        if session != self._session:
            return  # it was replaced while PostgreSQL was asked
        if alive:
            self._beaten_at = asked
        else:
            self._worker_loop.call_soon_threadsafe(self._on_over, session)
