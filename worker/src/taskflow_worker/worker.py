"""A worker, from its first connection to its last word: `async with worker(...)`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import structlog
from prometheus_client import CollectorRegistry
from redis import RedisError
from redis.asyncio import Redis

from taskflow_core.db.link import Link
from taskflow_core.process import replica_name
from taskflow_core.queue import signals
from taskflow_core.queue.window import Window
from taskflow_core.redis import connect
from taskflow_core.settings import DatabaseSettings, RedisSettings, WorkerSettings
from taskflow_core.telemetry.metrics import WorkerMetrics
from taskflow_worker.books import open_books
from taskflow_worker.broker import FlowBroker
from taskflow_worker.broker import broker as handlers_broker
from taskflow_worker.receiver import FlowReceiver
from taskflow_worker.session import Session
from taskflow_worker.source import Source
from taskflow_worker.supervision import supervised
from taskflow_worker.tempo import Tempo
from taskflow_worker.watch import Watch

_log = structlog.get_logger(__name__)

_FETCHERS = 2
_FLUSHERS = 2
_LAST_WORD_S = 2.0  # for what is polite but not needed: others find out by themselves


@asynccontextmanager
async def worker(
    settings: WorkerSettings,
    database: DatabaseSettings,
    redis: RedisSettings,
    *,
    broker: FlowBroker = handlers_broker,
    registry: CollectorRegistry | None = None,
    tempo: Tempo | None = None,
) -> AsyncIterator["Worker"]:
    """Run the handlers of `broker` for the length of the block, then stop with grace.

    PostgreSQL and Redis may both be away: it begins when they are there. Raises what a start-up hook of
    the broker raises.
    """
    broker.is_worker_process = True
    broker.state.worker_settings = settings
    metrics = WorkerMetrics(registry or CollectorRegistry())
    async with contextlib.AsyncExitStack() as stack:
        links = [Link(database, application_name="taskflow-worker") for _ in range(5)]
        for link in links:
            stack.push_async_callback(link.close)
        pop = connect(redis, blocking_s=(tempo or Tempo()).pop_wait_s)
        signal = connect(redis)
        stack.push_async_callback(pop.aclose)
        stack.push_async_callback(signal.aclose)
        await broker.startup()
        stack.push_async_callback(broker.shutdown)
        running = Worker(
            settings, database, broker, metrics, tempo or Tempo(), Connections(links, pop, signal)
        )
        await running.start()
        try:
            yield running
        finally:
            await running.stop()


class Connections:
    """What a worker talks through: six connections to PostgreSQL (one is the heart's), two to Redis."""

    def __init__(self, links: list[Link], pop: Redis, signal: Redis) -> None:
        self.control, *rest = links
        self.fetch, self.flush = rest[:_FETCHERS], rest[_FETCHERS : _FETCHERS + _FLUSHERS]
        self.pop, self.signal = pop, signal


class Worker:
    """A running worker."""

    def __init__(
        self,
        settings: WorkerSettings,
        database: DatabaseSettings,
        broker: FlowBroker,
        metrics: WorkerMetrics,
        tempo: Tempo,
        connections: Connections,
    ) -> None:
        flow, slots = settings.flow, settings.slots
        self.replica = replica_name(settings.replica)
        self._flow, self._tempo, self._connections = flow, tempo, connections
        self.books = open_books(
            broker, metrics, flow=flow, replica=self.replica, slots=slots, tempo=tempo
        )
        self.session = Session(
            connections.control,
            database,
            flow=flow,
            replica=self.replica,
            tempo=tempo,
            turned_at=lambda: self.books.vitals.turned_at,
            on_over=self._session_over,
        )
        metrics.beat_age.set_function(lambda: self.session.heart.age_s)
        source = Source(
            Window(connections.pop),
            self.books.ledger,
            flow=flow,
            attempts={
                name: declaration.options.policy.max_attempts
                for name, declaration in broker.declarations.items()
            },
            wait_s=tempo.pop_wait_s,
        )
        self._receiver = FlowReceiver(
            broker,
            self.books,
            self.session,
            source,
            connections.fetch,
            settings=settings,
            tempo=tempo,
        )
        self._watch = Watch(
            connections.control,
            self.books,
            self.session,
            source,
            self._receiver.attempts,
            tempo=tempo,
        )
        self._finish = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._listening: asyncio.Task[None] | None = None
        self._is_hurried = False
        self.is_clean = True

    @property
    def is_alive(self) -> bool:
        """Whether all its loops are there. It asks no dependency."""
        loops = (*self._loops, *filter(None, [self._listening]))
        return self.session.heart.is_alive and not any(loop.done() for loop in loops)

    async def ready(self) -> None:
        """Wait until it has a session, and so can claim."""
        await self.session.opened()

    async def serve(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set. Raises what ended the receiver, which nothing should."""
        waiting = asyncio.create_task(stop.wait())
        listening = self._listening or waiting
        try:
            await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done() and not stop.is_set():
                listening.result()
                raise RuntimeError("the receiver has ended by itself")
        finally:
            waiting.cancel()

    def hurry(self) -> None:
        """Hand back at once what runs, instead of waiting for it; `stop` is on its way or comes next."""
        self._is_hurried = True
        self._receiver.hurry()

    async def start(self) -> None:
        """Start everything; returns before PostgreSQL and Redis have answered."""
        books, connections = self.books, self._connections
        self._start("session", self.session.keep_open)
        self._start("watch", self._watch.look_for_ever)
        self._start("vitals", books.vitals.watch_loop)
        self._start("signals", self._signal_for_ever)
        self._start("progress", partial(books.progress.write_for_ever, connections.control))
        for link in connections.flush:
            self._start("complete", partial(books.completions.flush_for_ever, link))
        self.session.heart.start()
        self._listening = asyncio.create_task(self._receiver.listen(self._finish))

    async def stop(self) -> None:
        """Stop fetching, hand back what has not started, let the rest end, and say goodbye.

        `is_clean` afterwards tells whether everything was written and nothing runs on.
        """
        _log.info("worker.stopping", running=len(self.books.ledger.running()))
        self._finish.set()
        if self._listening is not None:
            await asyncio.wait({self._listening})
        await self._within("look", _LAST_WORD_S, self._watch.look)
        flush_s = _LAST_WORD_S if self._is_hurried else self._tempo.flush_s
        await self._within("flush", flush_s, self._flushed)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._within("close", _LAST_WORD_S, lambda: self.session.close("stopped"))
        await self._withdraw()
        ledger = self.books.ledger
        self.is_clean = not self.books.completions.pending and not ledger.ghosts
        _log.info("worker.stopped", clean=self.is_clean)

    def _session_over(self) -> None:
        self._receiver.attempts.lose_all()

    def _start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        self._loops.append(asyncio.create_task(supervised(name, loop), name=name))

    async def _flushed(self) -> None:
        await self.books.completions.drained()
        await self.books.completions.hooks_done()

    async def _within(
        self, what: str, at_most_s: float, act: Callable[[], Awaitable[None]]
    ) -> None:
        """Do something that must not keep the worker from stopping."""
        try:
            async with asyncio.timeout(at_most_s):
                await act()
        except Exception as error:  # noqa: BLE001 - whatever it was, the session's end heals it
            _log.warning("worker.stop_failed", step=what, error=type(error).__name__)

    async def _signal_for_ever(self) -> None:
        while True:
            books = self.books
            beat = books.vitals.beat(
                session=self.session.id or 0,
                busy=books.slots.busy,
                running=books.ledger.running(),
                stopping=self._finish.is_set(),
            )
            # Redis away: the fetchers say so, and these signals are only about the last seconds
            with contextlib.suppress(RedisError, OSError):
                await signals.send_beat(self._connections.signal, self._flow, beat)
            if self._finish.is_set():
                await asyncio.sleep(self._tempo.beat_every_s)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._finish.wait(), self._tempo.beat_every_s)

    async def _withdraw(self) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(_LAST_WORD_S):
                await signals.withdraw_beat(self._connections.signal, self._flow, self.replica)
