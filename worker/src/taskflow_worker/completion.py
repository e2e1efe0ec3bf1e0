"""How attempts end in PostgreSQL: gathered, fenced, many in one statement, none at another's cost."""

import asyncio
from collections import deque
from collections.abc import Callable

import psycopg
import structlog

from taskflow_core.db.database import Row
from taskflow_core.db.link import Link, array
from taskflow_core.queue import statements
from taskflow_worker.attempt import Attempt, Ending
from taskflow_worker.ledger import Ledger
from taskflow_worker.progress import ProgressBook
from taskflow_worker.verdict import refused
from taskflow_worker.vitals import Vitals

_log = structlog.get_logger(__name__)

_BATCH = 500
_BATCH_CHARS = 4 << 20
_BUFFER_CHARS = 32 << 20
# what the values of a statement did wrong, not its text or the schema
_BAD_VALUES = (
    psycopg.DataError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)


class Completions:
    """Attempts that have ended and are not settled yet.

    Flushers clock themselves: each takes what has gathered when it comes free. While more is on its way
    it waits `linger_s` for company; alone, it goes at once.
    """

    def __init__(
        self,
        ledger: Ledger,
        progress: ProgressBook,
        vitals: Vitals,
        *,
        room_for: int,
        linger_s: float,
        more_to_come: Callable[[], bool],
        on_settled: Callable[[], None],
    ) -> None:
        self._ledger, self._progress, self._vitals = ledger, progress, vitals
        self._room_for, self._linger_s = room_for, linger_s
        self._more_to_come, self._on_settled = more_to_come, on_settled
        self._ended: deque[Attempt] = deque()
        self._chars = 0
        self._flushing = 0
        self._gathered = asyncio.Event()
        self._fewer = asyncio.Event()
        self._hooks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether no more should be started until PostgreSQL has taken some."""
        return len(self._ended) > self._room_for or self._chars > _BUFFER_CHARS

    @property
    def pending(self) -> int:
        """How many endings PostgreSQL does not have yet."""
        return len(self._ended) + self._flushing

    def add(self, attempt: Attempt, ending: Ending) -> None:
        """Take the ending of an attempt."""
        attempt.ending = ending
        self._ended.append(attempt)
        self._chars += len(ending.body)
        if not self._gathered.is_set():
            self._gathered.set()

    async def flush_for_ever(self, link: Link) -> None:
        """Write endings as they come."""
        while True:
            await self._gathered.wait()
            if len(self._ended) < _BATCH and self._more_to_come():
                await asyncio.sleep(self._linger_s)
            batch = self._take()
            self._flushing += len(batch)
            try:
                await self._flush(link, batch)
            finally:
                self._flushing -= len(batch)
                self._fewer.set()
                self._on_settled()

    async def drained(self) -> None:
        """Wait until PostgreSQL has all endings."""
        while self.pending:
            self._fewer.clear()
            await self._fewer.wait()

    async def hooks_done(self) -> None:
        """Wait for the `post_save` hooks of what is settled."""
        if self._hooks:
            await asyncio.wait(self._hooks)

    def _take(self) -> list[Attempt]:
        """Take the next batch: of one session, bounded in number and in size."""
        batch: list[Attempt] = []
        chars = 0
        while self._ended and len(batch) < _BATCH:
            attempt = self._ended[0]
            size = len(attempt.ending.body) if attempt.ending else 0
            if batch and (attempt.session != batch[0].session or chars + size > _BATCH_CHARS):
                break
            batch.append(self._ended.popleft())
            chars += size
        self._chars -= chars
        if not self._ended:
            self._gathered.clear()
        return batch

    def _put_back(self, attempts: list[Attempt]) -> None:
        self._ended.extendleft(reversed(attempts))
        self._chars += sum(len(attempt.ending.body) for attempt in attempts if attempt.ending)
        if self._ended:
            self._gathered.set()

    async def _flush(self, link: Link, batch: list[Attempt]) -> None:
        """Write a batch; while PostgreSQL refuses a value in it, write its halves."""
        parts = [batch] if batch else []
        while parts:
            part = parts.pop()
            try:
                await self._write(link, part)
            except _BAD_VALUES as error:
                parts += self._divided(part, error)
            except BaseException:
                self._put_back([attempt for each in (part, *parts) for attempt in each])
                raise

    async def _write(self, link: Link, part: list[Attempt]) -> None:
        await self._progress.write_last(link, part)
        losses: list[None] = []
        endings = [attempt.ending for attempt in part if attempt.ending is not None]
        rows = await link.fetch(
            statements.COMPLETE,
            part[0].session,
            array([attempt.task_id for attempt in part]),
            array([str(attempt.number) for attempt in part]),
            array([ending.outcome for ending in endings]),
            array([str(ending.pause_s) for ending in endings]),
            f"[{','.join([ending.body for ending in endings])}]",
            lost=lambda: losses.append(None),
        )
        self._settle(part, rows, repeated=bool(losses))

    def _settle(self, part: list[Attempt], rows: list[Row], *, repeated: bool) -> None:
        ours = part
        if len(rows) < len(part):
            taken = {row[0] for row in rows}
            ours = [each for number, each in enumerate(part, 1) if number in taken]
            if repeated:
                # the first time may have done it: what was not answered cannot be told from what was lost
                ours = part
            else:
                self._vitals.refused(len(part) - len(ours))
                _log.warning("worker.endings_refused", tasks=len(part) - len(ours))
        self._vitals.settled(ours)
        for attempt in part:
            self._ledger.settle(attempt)
        for attempt in ours:
            if attempt.on_settled is not None:
                hook = asyncio.ensure_future(attempt.on_settled())
                self._hooks.add(hook)
                hook.add_done_callback(self._hook_done)

    def _hook_done(self, hook: "asyncio.Future[None]") -> None:
        self._hooks.discard(hook)
        if not hook.cancelled() and (error := hook.exception()) is not None:
            _log.error("worker.post_save_failed", error=type(error).__name__, exc_info=error)

    def _divided(self, part: list[Attempt], error: Exception) -> list[list[Attempt]]:
        if len(part) > 1:
            return [part[: len(part) // 2], part[len(part) // 2 :]]
        (attempt,) = part
        _log.warning("worker.result_refused", task_id=attempt.task_id, error=type(error).__name__)
        replaced = refused(attempt, error)
        if attempt.ending == replaced:  # not its body, then: nothing that can be written will do
            self._ledger.settle(attempt)
            return []
        attempt.ending = replaced
        return [part]
