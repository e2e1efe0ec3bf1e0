"""Report: what waits and runs, once a second, to Redis for the operator and to the metrics."""

import time
from collections.abc import Callable
from itertools import batched

from redis import ResponseError
from redis.asyncio import Redis

from taskflow_core.queue import upkeep
from taskflow_core.queue.signals import FlowDepth, WorkerBeat, known_flows, send_depths
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings

COUNT_MAX = 100_000
_FLOWS_AT_ONCE = 100
_COST = 20  # a report may take one twentieth of the time: counting deep backlogs is not free
_LONGEST_REST_S = 10.0
_LIVE_S = 15.0  # a worker that beat within this is counted on


class Report:
    """Says what waits and runs in every flow that had work or workers in the last day.

    Of an idle flow too: whoever scales it must be able to tell "nothing waits" from "nobody knows".
    `slots` is filled with the slots of each flow's live workers. `target` says how long a window may be.
    """

    name = "report"

    def __init__(
        self,
        db: LeaderLink,
        redis: Redis,
        *,
        slots: dict[str, int],
        target: Callable[[str], int],
        metrics: DispatcherMetrics,
        timings: Timings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._redis = db, redis
        self._slots, self._target = slots, target
        self._metrics, self._timings, self._clock = metrics, timings, clock
        self._shown: set[str] = set()

    async def step(self) -> float:
        """Count, send, set the gauges."""
        began = self._clock()
        running: dict[str, int] = dict(await self._db.fetch(upkeep.RUNNING))
        waiting = {flow for (flow,) in await self._db.fetch(upkeep.WAITING_FLOWS)}
        depths = await self._count(waiting | running.keys() | await self._known(), running)
        self._db.require()
        workers = await send_depths(self._redis, depths)
        self._slots.clear()
        self._slots.update({flow: _live_slots(beats) for flow, beats in workers.items()})
        self._show(depths)
        return min(_LONGEST_REST_S, max(self._timings.report_s, _COST * (self._clock() - began)))

    async def _known(self) -> set[str]:
        try:
            return set(await known_flows(self._redis))
        except ResponseError:  # the key holds something else; sending the depths mends it
            return set()

    async def _count(self, flows: set[str], running: dict[str, int]) -> dict[str, FlowDepth]:
        depths = {}
        for some in batched(sorted(flows), _FLOWS_AT_ONCE):
            for flow, backlog, window, oldest_s in await self._db.fetch(
                upkeep.DEPTH, list(some), COUNT_MAX
            ):
                depths[flow] = FlowDepth(
                    backlog=backlog,
                    window=window,
                    window_target=self._target(flow),
                    running=running.get(flow, 0),
                    oldest_wait_s=oldest_s,
                    at=time.time(),
                )
        return depths

    def _show(self, depths: dict[str, FlowDepth]) -> None:
        metrics = self._metrics
        for flow, depth in depths.items():
            metrics.waiting.labels(flow, "backlog").set(depth.backlog)
            metrics.waiting.labels(flow, "window").set(depth.window)
            metrics.oldest_wait.labels(flow).set(depth.oldest_wait_s)
            metrics.running.labels(flow).set(depth.running)
        for flow in self._shown - depths.keys():
            for place in ("backlog", "window"):
                metrics.waiting.remove(flow, place)
            metrics.oldest_wait.remove(flow)
            metrics.running.remove(flow)
        self._shown = set(depths)


def _live_slots(beats: tuple[WorkerBeat, ...]) -> int:
    now = time.time()
    return sum(beat.slots for beat in beats if not beat.stopping and beat.at > now - _LIVE_S)
