"""Top-up: what is due in PostgreSQL goes into the windows, as much as keeps the workers busy."""

import time
from collections.abc import Callable, Mapping

from taskflow_core.queue import upkeep
from taskflow_core.queue.window import Window
from taskflow_core.tasks.states import Priority
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.pace import Pace
from taskflow_worker.dispatcher.timings import Timings

BATCH = 2_000  # rows of one statement: the next flow's first task waits no longer than for these
_FORGET_PACE_S = 60.0


class TopUp:
    """Keeps the window of every flow with due work filled up to its target.

    `slots`: those of each flow's live workers, as far as known. Every round serves all flows, each up to
    the same share of a batch, so nobody's backlog stands before another's first task.
    """

    name = "top_up"

    def __init__(
        self,
        db: LeaderLink,
        window: Window,
        *,
        slots: Mapping[str, int],
        metrics: DispatcherMetrics,
        timings: Timings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._window, self._slots = db, window, slots
        self._metrics, self._timings, self._clock = metrics, timings, clock
        self._paces: dict[str, Pace] = {}
        # marked as published, and the push failed or was not tried yet
        self._unpushed: dict[str, dict[Priority, str]] = {}

    def target(self, flow: str) -> int:
        """Return how long the window of `flow` may become."""
        pace = self._paces.get(flow) or Pace()
        return pace.target(self._slots.get(flow, 0))

    async def step(self) -> float:
        """Push what a failed push left, then what is due; rest until more is wanted."""
        began = self._clock()
        if self._unpushed:
            await self._window.lengths(list(self._unpushed))  # mends what may have refused them
            await self._push()
        # Redis must have answered before a row is marked: if it is away, the round ends here
        rooms = await self._rooms()
        rest_s = await self._fill(rooms) if rooms else self._timings.tick_s
        self._metrics.tick.observe(self._clock() - began)
        return rest_s

    async def _rooms(self) -> dict[str, int]:
        """Return the flows with due work and how much their windows can take, 0 if they are full."""
        due = [flow for (flow,) in await self._db.fetch(upkeep.DUE_FLOWS)]
        due = [flow for flow in due if flow not in self._unpushed]
        lengths = await self._window.lengths(due) if due else {}
        now = self._clock()
        for flow, length in lengths.items():
            self._paces.setdefault(flow, Pace()).saw(length, now)
        for flow in [f for f, p in self._paces.items() if p.looked_at < now - _FORGET_PACE_S]:
            del self._paces[flow]
        return {flow: max(0, self.target(flow) - length) for flow, length in lengths.items()}

    async def _fill(self, rooms: Mapping[str, int]) -> float:
        wanted = shares(rooms, BATCH)
        taken = await self._take(wanted) if wanted else {}
        return min(
            (self._rest_s(flow, room, wanted, taken) for flow, room in rooms.items()),
            default=self._timings.tick_s,
        )

    async def _take(self, wanted: Mapping[str, int]) -> dict[str, int]:
        """Mark up to so many of each flow as published, and push them; return how many it were."""
        taken: dict[str, int] = {}
        for flow, priority, count, entries in await self._db.fetch(
            upkeep.TOP_UP, list(wanted), list(wanted.values())
        ):
            taken[flow] = taken.get(flow, 0) + count
            self._unpushed.setdefault(flow, {})[Priority(priority)] = entries
        for flow, count in taken.items():
            self._metrics.published.labels(flow).inc(count)
        if taken:
            await self._push()
        return taken

    async def _push(self) -> None:
        self._db.require()
        for flow, length in (await self._window.append(self._unpushed)).items():
            del self._unpushed[flow]
            self._paces.setdefault(flow, Pace()).filled(length)

    def _rest_s(
        self,
        flow: str,
        room: int,
        wanted: Mapping[str, int],
        taken: Mapping[str, int],
    ) -> float:
        asked, got = wanted.get(flow, 0), taken.get(flow, 0)
        if flow in self._unpushed or got < asked:
            return self._timings.tick_s  # Redis refuses it; or nothing more is due there
        if asked < room:
            return 0.0
        return self._paces[flow].rest_s(self.target(flow), self._timings.tick_s)


def shares(rooms: Mapping[str, int], batch: int) -> dict[str, int]:
    """Divide a batch between flows: what each has room for, up to an equal share, one at least."""
    open_ = {flow: room for flow, room in rooms.items() if room > 0}
    share = max(1, batch // max(1, len(open_)))
    return {flow: min(room, share) for flow, room in open_.items()}
