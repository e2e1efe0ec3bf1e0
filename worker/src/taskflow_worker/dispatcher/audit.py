"""Audit: what PostgreSQL believes to be published is looked for in the windows.

This one duty heals a push that never came, a worker that died between pop and claim, a dispatcher that
died between its commit and its push, and a Redis that lost everything.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import batched

import structlog
from redis import ResponseError

from taskflow_core.db.link import array
from taskflow_core.queue import upkeep
from taskflow_core.queue.window import Window
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings

_log = structlog.get_logger(__name__)

PAGE = 5_000  # rows of one statement
MOST_MISSING = 20_000  # noted for one flow at a time, the oldest: what is left is found next time
_FIRST = (datetime(1970, 1, 1, tzinfo=UTC), "00000000-0000-0000-0000-000000000000")


class Audit:
    """Takes back publications whose entries are missing at two looks in a row.

    Once may be a worker that has popped the entry and not claimed the row yet. Taken back, not pushed
    again: top-up repeats them in their turn, so no window grows beyond its bound, however many were lost.
    """

    name = "audit"

    def __init__(
        self,
        db: LeaderLink,
        window: Window,
        *,
        metrics: DispatcherMetrics,
        timings: Timings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._window = db, window
        self._metrics, self._timings, self._clock = metrics, timings, clock
        self._missing: dict[str, dict[str, datetime]] = {}  # flow → id → published at
        self._looked_at: dict[str, float] = {}

    async def step(self) -> float:
        """Look at the flows in which something is overdue; look again soon if anything is missing."""
        overdue = await self._db.fetch(upkeep.OVERDUE_FLOWS, self._timings.overdue_s)
        flows = {flow for (flow,) in overdue}
        self._missing = {f: missing for f, missing in self._missing.items() if f in flows}
        self._looked_at = {f: at for f, at in self._looked_at.items() if f in flows}
        # what takes longer than half a period goes on next time, with the flows that waited longest;
        # an empty window has surely lost something, and is quickly read
        until = self._clock() + self._timings.audit_s / 2
        lengths = await self._window.lengths(list(flows))
        for flow in sorted(flows, key=lambda f: (lengths[f] > 0, self._looked_at.get(f, 0.0), f)):
            if self._clock() > until:
                break
            await self._look(flow)
        again_soon = any(self._missing.values())
        return self._timings.confirm_s if again_soon else self._timings.audit_s

    async def _look(self, flow: str) -> None:
        self._looked_at[flow] = self._clock()
        try:
            # the window first: what is popped and claimed in between is no longer overdue then
            present = await self._window.task_ids(flow)
        except ResponseError as error:  # of this flow only; a Redis that is away ends the round
            _log.warning("dispatcher.window_unreadable", flow=flow, error=str(error))
            return
        missing = await self._missing_from(present, flow)
        before = self._missing.get(flow, {})
        twice = [id_ for id_, published_at in missing.items() if before.get(id_) == published_at]
        self._missing[flow] = missing
        await self._retract(flow, twice)

    async def _missing_from(self, present: set[str], flow: str) -> dict[str, datetime]:
        """Return what is overdue and not `present`, page by page: present ones must not hide others."""
        missing: dict[str, datetime] = {}
        last_at, last_id = _FIRST
        while True:
            page = await self._db.fetch(
                upkeep.OVERDUE, flow, self._timings.overdue_s, last_at, last_id, PAGE
            )
            missing |= {task_id: at for task_id, at in page if task_id not in present}
            if len(page) < PAGE or len(missing) >= MOST_MISSING:
                return missing
            last_id, last_at = page[-1]

    async def _retract(self, flow: str, task_ids: list[str]) -> None:
        retracted = 0
        for some in batched(task_ids, PAGE):
            rows = await self._db.fetch(upkeep.RETRACT, array(some), self._timings.overdue_s)
            retracted += len(rows)
            for task_id in some:
                del self._missing[flow][task_id]
        if retracted:
            self._metrics.retracted.labels(flow).inc(retracted)
            _log.warning("dispatcher.retracted", flow=flow, tasks=retracted)
