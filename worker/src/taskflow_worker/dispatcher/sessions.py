"""Sessions: those that stopped beating are ended, and what ended ones ran goes back."""

import time
from collections.abc import Callable

import structlog

from taskflow_core.queue import upkeep
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings

_log = structlog.get_logger(__name__)

_SWEEP_BATCH = 5_000  # rows of one sweep


class Contact:
    """For how long PostgreSQL has answered without a gap of more than `gap_s`.

    By two clocks: ours (monotonic) shows when the database was away or this process frozen, PostgreSQL's
    shows when its clock jumped or the whole machine slept, which a monotonic clock does not count.
    """

    def __init__(self, gap_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap_s, self._clock = gap_s, clock
        self._since = self._last = clock()
        self._last_server_s: float | None = None

    def answered(self, server_s: float) -> None:
        """Take in an answer and PostgreSQL's own time in it, Unix seconds."""
        now = self._clock()
        ours = now - self._last
        theirs = ours if self._last_server_s is None else server_s - self._last_server_s
        if max(ours, theirs) > self._gap_s:
            self._since = now
        self._last, self._last_server_s = now, server_s

    def lasts_s(self) -> float:
        """Return the length of the contact up to its last answer."""
        return self._last - self._since


class Expire:
    """Ends sessions that missed their heartbeats while they could have been heard.

    After a restart of the database, a freeze of this process or a change of leaders, nobody's silence
    counts until as much time has passed as a session may be silent: workers beat again first.
    """

    name = "expire"

    def __init__(
        self, db: LeaderLink, *, metrics: DispatcherMetrics, timings: Timings, contact: Contact
    ) -> None:
        self._db, self._metrics, self._timings, self._contact = db, metrics, timings, contact

    async def step(self) -> float:
        """Ask PostgreSQL for its time, and end who was silent for the whole of a long enough contact."""
        ((server_s,),) = await self._db.fetch(upkeep.CONTACT)
        self._contact.answered(server_s)
        silence_s = self._timings.expire_after_s
        if self._contact.lasts_s() >= silence_s:
            for session, flow, replica in await self._db.fetch(upkeep.EXPIRE, server_s - silence_s):
                self._metrics.sessions_expired.labels(flow).inc()
                _log.warning(
                    "dispatcher.session_expired", session=session, flow=flow, worker=replica
                )
        return self._timings.sessions_s


class Sweep:
    """Gives back what runs under sessions that are over or unknown."""

    name = "sweep"

    def __init__(self, db: LeaderLink, *, metrics: DispatcherMetrics, timings: Timings) -> None:
        self._db, self._metrics, self._timings = db, metrics, timings

    async def step(self) -> float:
        """Give back one batch; go on at once if there may be more."""
        total = 0
        for flow, became, count in await self._db.fetch(upkeep.SWEEP):
            total += count
            self._metrics.leases_lost.labels(flow, became).inc(count)
            _log.warning("dispatcher.leases_lost", flow=flow, tasks=count, became=became)
        return 0.0 if total >= _SWEEP_BATCH else self._timings.sessions_s
