"""Chores: partitions made ahead, what has expired forgotten. At the start, then hourly."""

from datetime import UTC, datetime

import structlog
from psycopg.errors import CheckViolation, LockNotAvailable

from taskflow_core.db.partitions import MONTHS_AHEAD, create_month, months_from, name_of
from taskflow_core.queue import upkeep
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings

_log = structlog.get_logger(__name__)


class MakePartitions:
    """Makes the partitions of `task_events` for this month and the next ones."""

    name = "partitions"

    def __init__(self, db: LeaderLink, *, timings: Timings) -> None:
        self._db, self._timings = db, timings

    async def step(self) -> float:
        """Make what is missing; what stands in the way of one month does not stop the others."""
        months = {
            name_of(month): month for month in months_from(datetime.now(UTC), 1 + MONTHS_AHEAD)
        }
        rest_s = self._timings.chores_s
        for (name,) in await self._db.fetch(upkeep.MISSING_PARTITIONS, list(months)):
            try:
                # the table is locked for this: whoever waits for a long reader holds up all writers
                await self._db.fetch("set lock_timeout = '300ms'")
                await self._db.fetch(create_month(months[name]))
                _log.info("dispatcher.partition_made", partition=name)
            except LockNotAvailable:
                _log.info("dispatcher.partition_later", partition=name)
                rest_s = self._timings.chore_again_s
            except CheckViolation:
                # its events are safe in the default partition, and later ones will join them
                _log.warning("dispatcher.partition_refused", partition=name, why="has rows already")
        return rest_s


class Forget:
    """Deletes what has expired, batch by batch. `statement` deletes one and returns how many."""

    def __init__(
        self, name: str, db: LeaderLink, statement: str, *parameters: object, timings: Timings
    ) -> None:
        self.name = name
        self._db, self._statement, self._parameters = db, statement, parameters
        self._timings = timings

    async def step(self) -> float:
        """Delete one batch; go on at once while there is something."""
        ((gone,),) = await self._db.fetch(self._statement, *self._parameters)
        if gone:
            _log.info("dispatcher.forgotten", what=self.name, rows=gone)
            return 0.0
        return self._timings.chores_s


def chores(db: LeaderLink, timings: Timings) -> list[MakePartitions | Forget]:
    """Return all chores; they share one link."""
    keep_s = timings.keep_sessions_s
    return [
        MakePartitions(db, timings=timings),
        Forget("idempotency_keys", db, upkeep.FORGET_KEYS, timings=timings),
        Forget("worker_sessions", db, upkeep.FORGET_SESSIONS, keep_s, timings=timings),
    ]
