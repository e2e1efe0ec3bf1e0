"""Telling workers about a task right after its creation, if the window of its flow has room.

Nothing here is a promise: what was not announced waits in PostgreSQL and the dispatcher announces it.
So Redis gets a quarter of a second, and after a failure a second of rest, in which tasks are created
unpublished; the client never learns of it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from taskflow_core.queue import keys, signals
from taskflow_core.queue.window import WINDOW_MAX, Entry, Window
from taskflow_core.telemetry.metrics import ApiMetrics

_log = structlog.get_logger(__name__)

_WAIT_S = 0.25  # longest wait for Redis, of one create
_PAUSE_S = 1.0  # Redis is left alone for this long after it failed
_FRESH_S = 1.0  # for how long what was seen of a window is believed
_FLOWS_KEPT = 1_000
_FLOWS_NAMED = 200  # clients choose names of flows; as labels of a metric they must be few
_OTHER_FLOWS = "(others)"


@dataclass(slots=True)
class _Seen:
    """What is known of one window, and since when (by the monotonic clock)."""

    length: int = 0
    length_at: float = float("-inf")
    target: int = WINDOW_MAX
    target_at: float = float("-inf")


@dataclass(slots=True)
class _Batch:
    """Announcements that go to Redis in one call."""

    entries: list[Entry] = field(default_factory=list)
    arrivals: int = 0
    sent: asyncio.Event = field(default_factory=asyncio.Event)


class Publisher:
    """Announces created tasks; one per process."""

    def __init__(
        self,
        redis: Redis,
        metrics: ApiMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait_s: float = _WAIT_S,
    ) -> None:
        self._redis, self._window = redis, Window(redis)
        self._metrics, self._clock, self._wait_s = metrics, clock, wait_s
        self._flows: OrderedDict[str, _Seen] = OrderedDict()
        self._named: set[str] = set()
        self._gathering: dict[str, _Batch] = {}
        self._senders: dict[str, asyncio.Task[None]] = {}
        self._rests_until = float("-inf")

    def has_room(self, flow: str) -> bool:
        """Tell whether a task about to be created should be published: before the insert.

        The window's length came back with the last publication. When that was long ago, there is room
        unless Redis is resting.
        """
        now = self._clock()
        if now < self._rests_until:
            return False
        seen = self._flows.get(flow)
        return seen is None or now - seen.length_at > _FRESH_S or seen.length < seen.target

    async def announce(self, flow: str, *entries: Entry, arrivals: int) -> None:
        """Push entries and count arrivals: after the commit. Never raises for Redis's sake.

        What is announced while Redis answers somebody else goes together in the next call.
        """
        batch = self._gathering.setdefault(flow, _Batch())
        batch.entries += entries
        batch.arrivals += arrivals
        if flow not in self._senders:
            self._senders[flow] = asyncio.create_task(self._send_all(flow))
        await batch.sent.wait()

    async def _send_all(self, flow: str) -> None:
        try:
            while (batch := self._gathering.pop(flow, None)) is not None:
                try:
                    await self._send(flow, batch)
                finally:
                    batch.sent.set()
        finally:
            del self._senders[flow]

    async def _send(self, flow: str, batch: _Batch) -> None:
        if self._clock() < self._rests_until:
            self._count(flow, "failed", batch.arrivals)
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._publish(flow, batch)
        except (RedisError, OSError, TimeoutError) as error:
            self._rests_until = self._clock() + _PAUSE_S
            self._count(flow, "failed", batch.arrivals)
            _log.warning("api.publication_failed", error=type(error).__name__)
        else:
            self._count(flow, "published", len(batch.entries))
            self._count(flow, "deferred", batch.arrivals - len(batch.entries))

    async def _publish(self, flow: str, batch: _Batch) -> None:
        length = await self._window.publish(flow, batch.entries, arrivals=batch.arrivals)
        seen = self._remember(flow)
        seen.length, seen.length_at = length, self._clock()
        if seen.length_at - seen.target_at > _FRESH_S:
            seen.target_at = seen.length_at  # first, so that of many only one asks
            seen.target = await self._target(flow)

    async def _target(self, flow: str) -> int:
        """Ask how long the dispatcher wants the window to be; without a dispatcher, its bound."""
        raw = await self._redis.get(keys.depth(flow))
        try:
            depth = msgspec.json.decode(raw or b"null", type=signals.FlowDepth | None)
        except msgspec.MsgspecError:
            depth = None
        return WINDOW_MAX if depth is None else min(depth.window_target, WINDOW_MAX)

    def _remember(self, flow: str) -> _Seen:
        seen = self._flows.setdefault(flow, _Seen())
        self._flows.move_to_end(flow)
        if len(self._flows) > _FLOWS_KEPT:
            self._flows.popitem(last=False)
        return seen

    def _count(self, flow: str, outcome: str, tasks: int) -> None:
        if tasks:
            if flow not in self._named and len(self._named) < _FLOWS_NAMED:
                self._named.add(flow)
            label = flow if flow in self._named else _OTHER_FLOWS
            self._metrics.publications.labels(label, outcome).inc(tasks)
