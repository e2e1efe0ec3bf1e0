"""Where attempts come from: pop ids from the window, claim their rows, adopt what an answer lost."""

import asyncio
import re
import time
from collections.abc import Sequence

import msgspec
import structlog
from redis import RedisError

from taskflow_core.db.database import Row
from taskflow_core.db.link import FINAL_ERRORS, Link, array
from taskflow_core.queue import statements
from taskflow_core.queue.window import Popped, Window
from taskflow_worker.attempt import Attempt
from taskflow_worker.ledger import Ledger

_log = structlog.get_logger(__name__)

_TASK_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


class Source:
    """Pops and claims for one flow. `attempts` says how many attempts each handler allows."""

    def __init__(
        self, window: Window, ledger: Ledger, *, flow: str, attempts: dict[str, int], wait_s: float
    ) -> None:
        self._window = window
        self._ledger = ledger
        self._flow = flow
        self._attempts = msgspec.json.encode(attempts).decode()
        self._wait_s = wait_s
        self._turn = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._lost_at: float | None = None
        self._pause_s = _FIRST_PAUSE_S

    def stop(self) -> None:
        """Claim nothing more: what a pop on its way brings is put back."""
        self._stopped.set()

    async def pop(self, count: int) -> Popped | None:
        """Take up to `count` entries, waiting for the first; None if there are none or Redis is away.

        One at a time: a second blocked pop would only take what the first is waiting for.
        """
        async with self._turn:
            if self._stopped.is_set():
                return None
            try:
                popped = await self._window.pop(self._flow, count, wait_s=self._wait_s)
            except (RedisError, OSError) as error:
                await self._pause(error)
                return None
            self._note_answer()
        if popped is not None and self._stopped.is_set():
            await self.put_back(popped)
            return None
        return popped

    async def put_back(self, popped: Popped) -> None:
        """Let others have entries that will not be claimed here; Redis away: the audit does it."""
        try:
            await self._window.put_back(popped)
        except (RedisError, OSError) as error:
            _log.warning("worker.put_back_failed", error=type(error).__name__)

    async def claim(self, link: Link, session: int, popped: Popped) -> list[Attempt]:
        """Claim entries for `session`; what is no longer waiting, or garbage, is left out."""
        task_ids = self._claimable(popped)
        if not task_ids:
            return []
        losses: list[None] = []
        with self._ledger.claim(task_ids):
            try:
                rows = await link.fetch(
                    statements.CLAIM,
                    session,
                    array(task_ids),
                    self._attempts,
                    lost=lambda: losses.append(None),
                )
            except Exception:
                await self.put_back(popped)
                raise
            attempts = _attempts(rows, task_ids, session)
            for attempt in attempts:
                self._ledger.hold(attempt)
            if losses:
                try:
                    attempts += await self._adopt(link, session, task_ids, mine=task_ids)
                except FINAL_ERRORS as error:
                    # what was claimed must start all the same; the next look finds the others
                    _log.warning("worker.adoption_failed", error=type(error).__name__)
        return attempts

    async def adopt(self, link: Link, session: int, task_ids: Sequence[str]) -> list[Attempt]:
        """Hold those of `task_ids` that are claims of `session` whose answer was lost."""
        return await self._adopt(link, session, task_ids, mine=None)

    async def _adopt(
        self, link: Link, session: int, task_ids: Sequence[str], *, mine: Sequence[str] | None
    ) -> list[Attempt]:
        with self._ledger.look() as settled:
            rows = await link.fetch(statements.ADOPT, session, array(list(task_ids)))
            found = {attempt.task_id: attempt for attempt in _attempts(rows, task_ids, session)}
            strangers = self._ledger.strangers(found, settled, mine=mine)
            adopted = [found[task_id] for task_id in strangers]
            for attempt in adopted:
                self._ledger.hold(attempt)
        if adopted:
            _log.info("worker.adopted", session=session, tasks=len(adopted))
        return adopted

    def _claimable(self, popped: Popped) -> list[str]:
        """Drop garbage, and tasks of which an earlier attempt still runs here: the audit repeats them."""
        task_ids = popped.task_ids
        kept = [
            task_id
            for task_id in task_ids
            if _TASK_ID.fullmatch(task_id) and not self._ledger.haunted(task_id)
        ]
        if len(kept) < len(task_ids):
            _log.warning("worker.entries_dropped", entries=len(task_ids) - len(kept))
        return kept

    async def _pause(self, error: Exception) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("worker.window_lost", error=type(error).__name__)
        try:
            await asyncio.wait_for(self._stopped.wait(), self._pause_s)
        except TimeoutError:
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _note_answer(self) -> None:
        if self._lost_at is not None:
            after_s = round(time.monotonic() - self._lost_at, 3)
            _log.info("worker.window_back", after_s=after_s)
            self._lost_at, self._pause_s = None, _FIRST_PAUSE_S


def _attempts(rows: list[Row], task_ids: Sequence[str], session: int) -> list[Attempt]:
    """Read the rows of `claim` and `adopt`: the first column is the ordinal of the id."""
    return [
        Attempt(
            task_ids[ordinal - 1],
            number,
            max_attempts,
            handler,
            payload,
            timeout_s,
            traceparent,
            waited_s,
            session,
        )
        for ordinal, number, max_attempts, handler, payload, timeout_s, traceparent, waited_s in rows
    ]
