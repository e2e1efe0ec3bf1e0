"""Asking the dependencies how they are, a second each at most."""

import asyncio
import time

import msgspec
import structlog

from taskflow_api.resources import Resources
from taskflow_core import migrations

_WAIT_S = 1.0
_log = structlog.get_logger(__name__)


class Check(msgspec.Struct, frozen=True):
    """One dependency: whether it does what we need, in milliseconds, and what is wrong."""

    ok: bool
    ms: float
    problem: str | None = None


async def database(resources: Resources) -> Check:
    """PostgreSQL answers, and its schema is the one this code knows."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_WAIT_S):
            rows = await resources.database.fetch("select version_num from alembic_version")
    except Exception as error:  # noqa: BLE001 - any failure means: not ready
        _log.warning("health.database", error=type(error).__name__)
        return _check(started, "PostgreSQL cannot be reached or holds no schema")
    if [(migrations.head(),)] != rows:
        return _check(started, "the schema is not at this release's revision: taskflow db migrate")
    return _check(started)


async def redis(resources: Resources) -> Check:
    """Redis answers; without it tasks start seconds later, no more."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(_WAIT_S):
            await resources.redis.ping()
    except Exception as error:  # noqa: BLE001 - any failure is what we report
        _log.warning("health.redis", error=type(error).__name__)
        return _check(started, "Redis cannot be reached: tasks start late")
    return _check(started)


def _check(started: float, problem: str | None = None) -> Check:
    ms = round((time.perf_counter() - started) * 1000, 1)
    return Check(ok=problem is None, ms=ms, problem=problem)
