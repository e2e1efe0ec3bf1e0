"""Duties: what the leader does again and again, each in a loop of its own that no error ends."""

import asyncio
import time
from contextlib import suppress
from typing import Protocol

import psycopg
import structlog
from prometheus_client import Counter
from redis import RedisError

from taskflow_core.db.database import FINAL_ERRORS, Row
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_worker.dispatcher.timings import Timings

_log = structlog.get_logger(__name__)

_AWAY = (psycopg.Error, RedisError, OSError, TimeoutError)


class Duty(Protocol):
    """One thing to be done again and again while this replica leads."""

    @property
    def name(self) -> str:
        """What it is called in logs and metrics."""

    async def step(self) -> float:
        """Do it once; return for how long to rest, seconds."""


class LeaderLink:
    """A link that sends each statement once, and only while this replica leads."""

    def __init__(self, lease: LeaseHolder, link: Link) -> None:
        self._lease, self._link = lease, link

    async def fetch(self, sql: str, *parameters: object) -> list[Row]:
        """Run one statement as `Link.fetch_once` does. Raises `LeaseLost` too."""
        self._lease.require()
        return await self._link.fetch_once(sql, *parameters)

    def require(self) -> None:
        """Pass while this replica leads. Raises `LeaseLost`."""
        self._lease.require()


async def perform(duty: Duty, halt: asyncio.Event, timings: Timings, failures: Counter) -> None:
    """Do a duty until `halt`. A failed step is counted, and done again after a pause that grows."""
    trouble = _Trouble(duty.name)
    pause_s = timings.first_pause_s
    while not halt.is_set():
        try:
            rest_s = await duty.step()
            trouble.over()
            pause_s = timings.first_pause_s
        except LeaseLost:
            rest_s = timings.first_pause_s  # the election sees it too, and ends this loop
        except Exception as error:  # noqa: BLE001 - whatever it was, the duty remains
            trouble.note(error)
            failures.labels(duty.name).inc()
            rest_s, pause_s = pause_s, min(2 * pause_s, timings.longest_pause_s)
        await rest(halt, rest_s)


async def rest(halt: asyncio.Event, seconds: float) -> None:
    """Wait for so long, or until `halt`."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(halt.wait(), seconds)


class _Trouble:
    """Logs that a duty fails, and that it works again: an outage of an hour is two lines."""

    def __init__(self, duty: str) -> None:
        self._duty = duty
        self._kind: type[Exception] | None = None
        self._since = 0.0

    def note(self, error: Exception) -> None:
        if type(error) is self._kind:
            return
        if self._kind is None:
            self._since = time.monotonic()
        self._kind = type(error)
        if isinstance(error, _AWAY) and not isinstance(error, FINAL_ERRORS):
            _log.warning("dispatcher.duty_failed", duty=self._duty, error=self._kind.__name__)
        else:
            _log.error("dispatcher.duty_failed", duty=self._duty, exc_info=error)

    def over(self) -> None:
        if self._kind is not None:
            after_s = round(time.monotonic() - self._since, 3)
            _log.info("dispatcher.duty_back", duty=self._duty, after_s=after_s)
            self._kind = None
