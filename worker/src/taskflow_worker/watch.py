"""Comparing what this process holds with what PostgreSQL believes it holds.

With each heartbeat, and every second while something runs for longer than that, since this is also how a
running task learns that it should stop.
"""

import asyncio
import time

import structlog

from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_worker.books import Books
from taskflow_worker.runner import Runner
from taskflow_worker.session import Session
from taskflow_worker.source import Source
from taskflow_worker.tempo import Tempo

_log = structlog.get_logger(__name__)


class Watch:
    """Adopts claims whose answer was lost, passes on requests to cancel, stops what was taken away."""

    def __init__(
        self,
        link: Link,
        books: Books,
        session: Session,
        source: Source,
        runner: Runner,
        *,
        tempo: Tempo,
    ) -> None:
        self._link, self._books, self._session = link, books, session
        self._source, self._runner, self._tempo = source, runner, tempo

    async def look_for_ever(self) -> None:
        """Look as often as there is reason to."""
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(min(self._tempo.look_every_s, self._tempo.beat_every_s))
            self._session.doubt()
            now = time.monotonic()
            if (
                now - looked_at >= self._tempo.beat_every_s
                or self._books.slots.promised
                or self._any_older_than(now - self._tempo.look_every_s)
            ):
                await self.look()
                looked_at = now

    async def look(self) -> None:
        """Compare once."""
        session = self._session.id
        if session is None:
            return
        ledger = self._books.ledger
        running = (
            ledger.running()
        )  # before the question: what starts later is no part of the answer
        with ledger.look() as settled:
            rows = await self._link.fetch(statements.HELD, session)
            if session != self._session.id:
                return
            strangers = ledger.strangers((row[0] for row in rows), settled)
        numbers = {task_id: number for task_id, number, _ in rows}
        for attempt in running:
            if attempt.runs and numbers.get(attempt.task_id) != attempt.number:
                _log.warning("worker.attempt_taken_away", task_id=attempt.task_id)
                self._runner.lose(attempt)
        for task_id, number, cancel in rows:
            held = ledger.find(task_id) if cancel else None
            if held is not None and held.number == number:
                self._runner.request_cancel(held)
        await self._adopt(session, strangers)

    async def _adopt(self, session: int, strangers: list[str]) -> None:
        slots = self._books.slots
        some = strangers if self._runner.stopping else strangers[: max(0, slots.untaken)]
        slots.promise(len(strangers) - len(some))
        if some:
            with slots.reserve(len(some)):
                attempts = await self._source.adopt(self._link, session, some)
                if session == self._session.id:
                    self._runner.start(attempts)
                else:
                    for attempt in attempts:
                        self._books.ledger.settle(attempt)

    def _any_older_than(self, started: float) -> bool:
        return any(attempt.started < started for attempt in self._books.ledger.running())
