"""Asking the dependencies how they are, a second each at most."""

import asyncio
import time
from collections.abc import Awaitable
from functools import cache
from typing import Any

import msgspec
import structlog

from taskflow_api.resources import Resources
from taskflow_core import migrations

_WAIT_S = 1.0
_REVISION = "select version_num from alembic_version"
_abandoned: set[asyncio.Future[Any]] = set()  # the loop itself does not hold on to its tasks
_log = structlog.get_logger(__name__)


class Check(msgspec.Struct, frozen=True):
    """One dependency: whether it does what we need, in milliseconds, and what is wrong."""

    ok: bool
    ms: float
    problem: str | None = None


async def database(resources: Resources) -> Check:
    """PostgreSQL answers, and its schema is this release's or a later one's.

    A later one: while a new release is rolled out, its migrations have run and our replicas still
    serve. Migrations leave what the release before them needs.
    """
    started = time.perf_counter()
    try:
        rows = await _within(resources.database.fetch(_REVISION))
    except Exception as error:  # noqa: BLE001 - any failure means: not ready
        _log.warning("health.database", error=type(error).__name__)
        return _check(started, "PostgreSQL cannot be reached or holds no schema")
    head, known = _schema()
    if not rows or (rows[0][0] != head and rows[0][0] in known):
        return _check(started, "the schema is older than this release: taskflow db migrate")
    return _check(started)


async def redis(resources: Resources) -> Check:
    """Redis answers; without it tasks start seconds later, no more."""
    started = time.perf_counter()
    try:
        await _within(resources.redis.ping())
    except Exception as error:  # noqa: BLE001 - any failure is what we report
        _log.warning("health.redis", error=type(error).__name__)
        return _check(started, "Redis cannot be reached: tasks start late")
    return _check(started)


async def _within[T](asked: Awaitable[T]) -> T:
    """Wait a second for an answer. Raises `TimeoutError`.

    A server that is frozen does not answer to the cancelling of a question either: that is left to go
    on by itself.
    """
    task = asyncio.ensure_future(asked)
    done, _ = await asyncio.wait({task}, timeout=_WAIT_S)
    if done:
        return task.result()
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)
    raise TimeoutError


def _forget(task: asyncio.Future[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # seen: nobody waits for it


@cache
def _schema() -> tuple[str, frozenset[str]]:
    return migrations.head(), migrations.revisions()


def _check(started: float, problem: str | None = None) -> Check:
    ms = round((time.perf_counter() - started) * 1000, 1)
    return Check(ok=problem is None, ms=ms, problem=problem)
