"""Taskiq's receiver with TaskFlow's way in: batches, claimed in PostgreSQL, never more than fit."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from taskiq.receiver import Receiver

from taskflow_core.db.link import Link
from taskflow_core.settings import WorkerSettings
from taskflow_worker.attempt import Attempt, Stop
from taskflow_worker.books import Books
from taskflow_worker.broker import FlowBroker
from taskflow_worker.plans import compile_plans
from taskflow_worker.runner import Runner
from taskflow_worker.session import Session
from taskflow_worker.source import Source
from taskflow_worker.supervision import supervised
from taskflow_worker.tempo import Tempo

_log = structlog.get_logger(__name__)

_HURRIED_S = 0.5  # for handlers to stop in, when somebody is in a hurry
_POP_ENDS_S = 1.0  # a blocked pop ends by itself this long after its wait, unless Redis hangs


class FlowReceiver(Receiver):
    """Runs the handlers of `broker` for one flow, with as many fetchers as `links`.

    Two fetchers take turns at the window: one claims while the other's batch runs. Of what Taskiq 0.13
    shows but does not document it uses `run_task` (see `plans`); a test watches it.
    """

    def __init__(
        self,
        broker: FlowBroker,
        books: Books,
        session: Session,
        source: Source,
        links: Sequence[Link],
        *,
        settings: WorkerSettings,
        tempo: Tempo,
    ) -> None:
        threads = ThreadPoolExecutor(books.slots.total, thread_name_prefix="handler")
        super().__init__(
            broker,
            executor=threads,
            validate_params=False,  # ours are validated already, and strictly
            max_async_tasks=books.slots.total,
            run_startup=False,
        )
        self._books, self._session, self._source, self._links = books, session, source, links
        self._tempo = tempo
        self._share = -(-books.slots.total // len(links))
        self._threads = threads
        self._hurry = asyncio.Event()
        self._grace_s = settings.grace_s
        self.attempts = Runner(
            compile_plans(broker, self, settings.flow),
            books,
            flow=settings.flow,
            tempo=tempo,
        )

    def hurry(self) -> None:
        """Stop waiting for running handlers."""
        self._hurry.set()

    async def listen(self, finish_event: asyncio.Event) -> None:
        """Fetch and run until `finish_event`; then see to it that nothing runs any more."""
        fetchers = [
            asyncio.create_task(supervised("fetch", partial(self._fetch, link)))
            for link in self._links
        ]
        try:
            await finish_event.wait()
            self._stop_fetching()
            await self._ended(fetchers, self._tempo.pop_wait_s + _POP_ENDS_S)
        finally:
            for fetcher in fetchers:
                fetcher.cancel()
            await asyncio.gather(*fetchers, return_exceptions=True)
        await self._stop_running()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _stop_fetching(self) -> None:
        self.attempts.stopping = True
        self._source.stop()
        self._books.slots.wake()

    async def _fetch(self, link: Link) -> None:
        while not self.attempts.stopping:
            session = await self._session.opened()
            await self._room()
            # from here to the reservation nothing else may run
            count = min(self._books.slots.free, self._share)
            if count <= 0 or self._books.completions.full or self.attempts.stopping:
                continue
            with self._books.slots.reserve(count):
                attempts = await self._take(link, session, count)
                self.attempts.start(attempts)

    async def _room(self) -> None:
        """Wait until it may be worth asking for tasks."""
        slots = self._books.slots
        if slots.free <= 0 or self._books.completions.full:
            await slots.changed()
        if slots.free < self._share // 4 and slots.busy:
            # a trickle: let some more slots fall free, so that a batch is worth its round trips
            await asyncio.sleep(self._tempo.linger_s)

    async def _take(self, link: Link, session: int, count: int) -> list[Attempt]:
        popped = await self._source.pop(count)
        if popped is None:
            return []
        if session != self._session.id:
            await self._source.put_back(popped)
            return []
        attempts = await self._source.claim(link, session, popped)
        if session != self._session.id:
            # claimed for a session that is over: the dispatcher gives them to somebody else
            for attempt in attempts:
                self._books.ledger.settle(attempt)
            return []
        return attempts

    async def _stop_running(self) -> None:
        """Let handlers finish, then interrupt them, then give up on those that do not stop."""
        ledger = self._books.ledger
        await self._ended(_tasks(ledger.running()), self._grace_s)
        interrupted = ledger.running()
        for attempt in interrupted:
            self.attempts.cut(attempt, Stop.INTERRUPT)
        if interrupted:
            _log.warning("worker.interrupted", tasks=len(interrupted))
            pause_s = _HURRIED_S if self._hurry.is_set() else self._tempo.stop_grace_s
            await asyncio.wait(_tasks(interrupted), timeout=pause_s)
        for attempt in ledger.running():
            self.attempts.give_up(attempt)
        self.attempts.hand_back_unstarted()

    async def _ended(self, tasks: Iterable["asyncio.Task[None]"], within_s: float) -> None:
        """Wait until all tasks have ended, time is up, or somebody is in a hurry."""
        left = set(tasks)
        deadline = time.monotonic() + within_s
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            while left and not hurry.done() and (rest_s := deadline - time.monotonic()) > 0:
                done, _ = await asyncio.wait(
                    {*left, hurry}, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED
                )
                left -= done
        finally:
            hurry.cancel()


def _tasks(attempts: Iterable[Attempt]) -> list["asyncio.Task[None]"]:
    return [attempt.task for attempt in attempts if attempt.task is not None]
