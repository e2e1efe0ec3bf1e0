"""Progress of running attempts: the last word of each, written about once a second."""

import asyncio
from collections.abc import Collection

import msgspec
import structlog

from taskflow_core.db.link import FINAL_ERRORS, Link, array
from taskflow_core.queue import statements
from taskflow_worker.attempt import Attempt
from taskflow_worker.context import Progress

_log = structlog.get_logger(__name__)


class ProgressBook:
    """What handlers noted and PostgreSQL has not got yet. `note` may be called from any thread."""

    def __init__(self, *, every_s: float) -> None:
        self._every_s = every_s
        self._notes: dict[Attempt, Progress] = {}
        self._writing: Collection[Attempt] = ()
        self._lock = asyncio.Lock()

    def note(self, attempt: Attempt, progress: Progress) -> None:
        """Replace what was noted for an attempt."""
        if attempt.ending is None:
            self._notes[attempt] = progress

    async def write_for_ever(self, link: Link) -> None:
        """Write what is noted, once in `every_s` seconds."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._notes:
                notes, self._notes = self._notes, {}
                async with self._lock:
                    self._writing = notes.keys()
                    await self._write(link, notes)
                    self._writing = ()

    async def write_last(self, link: Link, attempts: list[Attempt]) -> None:
        """Write the last words of attempts that have ended, before their endings are written."""
        if self._writing and any(attempt in self._writing for attempt in attempts):
            async with self._lock:
                pass  # older words of theirs are on their way, and must not arrive later
        if self._notes:
            last = {
                attempt: self._notes.pop(attempt) for attempt in attempts if attempt in self._notes
            }
            await self._write(link, last)

    async def _write(self, link: Link, notes: dict[Attempt, Progress]) -> None:
        by_session: dict[int, list[tuple[Attempt, Progress]]] = {}
        for attempt, progress in notes.items():
            by_session.setdefault(attempt.session, []).append((attempt, progress))
        for session, noted in by_session.items():
            bodies = [{"fraction": each.fraction, "message": each.message} for _, each in noted]
            try:
                await link.fetch(
                    statements.PROGRESS,
                    session,
                    array([attempt.task_id for attempt, _ in noted]),
                    array([str(attempt.number) for attempt, _ in noted]),
                    msgspec.json.encode(bodies).decode(),
                )
            except FINAL_ERRORS as error:
                # progress is worth a line in the log, never a result
                _log.warning("worker.progress_refused", error=type(error).__name__)
