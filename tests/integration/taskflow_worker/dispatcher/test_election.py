"""One leads among any number, and its duties run while it does, whatever PostgreSQL and Redis do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_core import migrations
from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder
from taskflow_core.db.link import Link
from taskflow_core.queue.window import Window
from taskflow_core.redis import connect
from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import Duty
from taskflow_worker.dispatcher.election import Election
from tests.support.dispatcher import QUICK, dispatching
from tests.support.queue import create, create_many
from tests.support.waiting import eventually


def leads(registry: CollectorRegistry) -> bool:
    return registry.get_sample_value("taskflow_dispatcher_leader") == 1


async def holder(link: Link) -> str | None:
    """Return who holds a lease that has not run out."""
    rows = await link.fetch("select holder from leases where expires_at > now()")
    return rows[0][0] if rows else None


def in_window(window: Window, flow: str = "default") -> Callable[[], Awaitable[set[str]]]:
    return lambda: window.task_ids(flow)


async def test_of_three_replicas_one_leads_and_the_work_is_done_once(
    database: Database,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
    window: Window,
) -> None:
    registries = [CollectorRegistry() for _ in range(3)]
    ids = await create_many(database, 50, publish=False)
    async with AsyncExitStack() as stack:
        for n, registry in enumerate(registries):
            await stack.enter_async_context(
                dispatching(
                    *(database_settings, redis_settings), replica=f"r{n}", registry=registry
                )
            )
        await eventually(in_window(window), lambda seen: seen == set(ids))

        assert sum(leads(registry) for registry in registries) == 1
        assert await window.length("default") == 50


async def test_a_leader_that_stops_is_followed_at_once(
    database_settings: DatabaseSettings, redis_settings: RedisSettings, link: Link
) -> None:
    patient = replace(QUICK, lease_ttl_s=60.0)  # only a release can be as quick as this test
    async with AsyncExitStack() as stack:
        async with dispatching(
            *(database_settings, redis_settings), replica="first", timings=patient
        ):
            await eventually(lambda: holder(link), lambda who: who == "first")
            await stack.enter_async_context(
                dispatching(*(database_settings, redis_settings), replica="second", timings=patient)
            )
        await eventually(lambda: holder(link), lambda who: who == "second", within_s=5)


async def test_who_lost_the_lease_ends_its_duties_and_stands_again(
    database: Database,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
    link: Link,
    window: Window,
) -> None:
    registry = CollectorRegistry()

    async def is_leading() -> bool:
        return leads(registry)

    async with dispatching(database_settings, redis_settings, registry=registry):
        await eventually(is_leading, bool)
        await create(database)
        waiting = {"flow": "default", "place": "window"}

        async def gauge() -> float | None:
            return registry.get_sample_value("taskflow_queue_waiting", waiting)

        await eventually(gauge, lambda value: value == 1)

        await link.fetch("update leases set holder = 'thief', expires_at = now() + interval '1 h'")
        await eventually(is_leading, lambda leading: not leading)
        assert await gauge() is None, "a follower's numbers would contradict the leader's"
        task = await create(database, publish=False, flow="other")
        await link.fetch("update leases set expires_at = now()")

        await eventually(in_window(window, "other"), lambda seen: seen == {task})


async def test_postgresql_away_at_the_start_and_in_between_ends_nothing(
    tmp_path: Path, redis_settings: RedisSettings, redis: Redis
) -> None:
    window = Window(redis)
    postgres = EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off"})
    settings = DatabaseSettings(DATABASE_URL=SecretStr(postgres.url()))
    async with AsyncExitStack() as stack:
        stack.callback(postgres.stop)
        election = await stack.enter_async_context(dispatching(settings, redis_settings))
        await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(migrations.upgrade, postgres.url())
        database = await stack.enter_async_context(Database.open(settings, application_name="t"))
        for _ in range(2):
            task = await create(database, publish=False)
            await eventually(in_window(window), {task}.issubset)
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)
            assert election.alive()
            await eventually(lambda: database_answers(database), bool)


async def database_answers(database: Database) -> bool:
    try:
        return bool(await database.fetch("select 1"))
    except Exception:  # noqa: BLE001 - not yet
        return False


async def test_redis_away_ends_nothing_and_what_it_lost_is_published_again(
    tmp_path: Path, database: Database, database_settings: DatabaseSettings
) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    settings = RedisSettings(REDIS_URL=SecretStr(valkey.url))
    async with AsyncExitStack() as stack:
        stack.callback(valkey.stop)
        await stack.enter_async_context(dispatching(database_settings, settings))
        client = connect(settings)
        stack.push_async_callback(client.aclose)
        ids = set(await create_many(database, 60, publish=False))

        await asyncio.to_thread(valkey.start)
        await eventually(in_window(Window(client)), lambda seen: seen == ids)
        await asyncio.to_thread(valkey.kill)
        ids |= set(await create_many(database, 30, publish=False))
        await asyncio.to_thread(valkey.start)

        await eventually(in_window(Window(client)), lambda seen: seen == ids, within_s=20)


async def test_a_flush_with_a_thousand_waiting_is_healed(
    database: Database,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
    redis: Redis,
    window: Window,
) -> None:
    ids = await create_many(database, 1_000, publish=False)
    async with dispatching(database_settings, redis_settings):
        await eventually(in_window(window), bool)
        await redis.flushall()
        started: set[str] = set()

        async def drain() -> int:
            popped = await window.pop("default", 100, wait_s=0.05)
            started.update(popped.task_ids if popped else ())
            return len(started)

        await eventually(drain, lambda count: count == 1_000, within_s=15)
    assert started == set(ids)


async def test_what_is_due_later_is_published_within_a_second(
    database: Database,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
    link: Link,
) -> None:
    async with dispatching(database_settings, redis_settings):
        for n in range(30):
            await create(
                database,
                publish=False,
                run_at=datetime.now(UTC) + timedelta(seconds=0.2 + n / 30),
            )

        async def late() -> list[float]:
            rows = await link.fetch(
                "select extract(epoch from published_at - run_at)::float8 from tasks"
                " where published_at is not null"
            )
            return [seconds for (seconds,) in rows]

        seen = await eventually(late, lambda some: len(some) == 30)
    assert min(seen) >= 0
    assert max(seen) < 1


class _Slow:
    """A duty whose step takes as long as the test wants."""

    name = "slow"

    def __init__(self) -> None:
        self.begun, self.may_end = asyncio.Event(), asyncio.Event()
        self.ended: str | None = None

    async def step(self) -> float:
        self.begun.set()
        try:
            await self.may_end.wait()
            self.ended = "finished"
        except asyncio.CancelledError:
            self.ended = "cut off"
            raise
        return 60.0


@pytest.mark.parametrize("ended", ["finished", "cut off"])
async def test_a_step_under_way_may_end_for_a_while_when_the_replica_stops(
    database_settings: DatabaseSettings, ended: str
) -> None:
    slow, stop = _Slow(), asyncio.Event()
    link = Link(database_settings, application_name="test")

    @asynccontextmanager
    async def office() -> AsyncIterator[list[Duty]]:
        yield [slow]

    election = Election(
        LeaseHolder(link, "dispatcher", "r"),
        office,
        metrics=DispatcherMetrics(CollectorRegistry()),
        timings=replace(QUICK, grace_s=0.3),
    )
    running = asyncio.create_task(election.run(stop))
    await asyncio.wait_for(slow.begun.wait(), 5)

    stop.set()
    if ended == "finished":
        slow.may_end.set()
    await asyncio.wait_for(running, 2)

    assert slow.ended == ended
    assert await holder(link) is None, "the lease was given back"
    await link.close()
