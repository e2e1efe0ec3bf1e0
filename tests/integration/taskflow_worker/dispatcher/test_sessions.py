"""Sessions on real servers: the dead are ended, what they ran runs again, the living are left alone."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from taskflow_cli.local.servers import EmbeddedPostgres
from taskflow_core import migrations
from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.sessions import Contact, Expire, Sweep
from taskflow_worker.dispatcher.timings import Timings
from tests.support.dispatcher import QUICK, dispatching
from tests.support.queue import claim, create, create_many, open_session, row
from tests.support.waiting import eventually

TIMINGS = Timings()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def expire(leader: LeaderLink, metrics: DispatcherMetrics, clock: Clock) -> Expire:
    contact = Contact(TIMINGS.contact_gap_s, clock)
    return Expire(leader, metrics=metrics, timings=TIMINGS, contact=contact)


@pytest.fixture
def sweep(leader: LeaderLink, metrics: DispatcherMetrics) -> Sweep:
    return Sweep(leader, metrics=metrics, timings=TIMINGS)


async def silence(link: Link, seconds: float) -> None:
    await link.fetch(
        "update worker_sessions set heartbeat_at = now() - make_interval(secs => $1)", seconds
    )


async def ended(link: Link) -> list[int]:
    rows = await link.fetch("select id from worker_sessions where ended_at is not null order by id")
    return [session for (session,) in rows]


async def keep_contact(expire: Expire, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        await expire.step()


async def test_a_silent_session_ends_after_fifteen_seconds_of_contact(
    expire: Expire, clock: Clock, link: Link, registry: CollectorRegistry
) -> None:
    silent, beating = await open_session(link, "f"), await open_session(link, "f")
    await silence(link, 60)
    await link.fetch(statements.BEAT, beating)

    await keep_contact(expire, clock, 14)
    assert await ended(link) == [], "a new leader has not listened long enough to blame anybody"
    await keep_contact(expire, clock, 1)

    assert await ended(link) == [silent]
    name = "taskflow_worker_sessions_expired_total"
    assert registry.get_sample_value(name, {"flow": "f"}) == 1


async def test_after_a_gap_nobody_is_blamed_for_fifteen_seconds(
    expire: Expire, clock: Clock, link: Link
) -> None:
    await keep_contact(expire, clock, 30)
    session = await open_session(link)
    await silence(link, 60)

    clock.now += 60  # the database was away, or this process was frozen
    await keep_contact(expire, clock, 14)
    assert await ended(link) == []
    await keep_contact(expire, clock, 2)

    assert await ended(link) == [session]


async def test_who_thaws_between_look_and_verdict_blames_nobody_for_the_freeze(
    expire: Expire,
    clock: Clock,
    link: Link,
    leader_link: Link,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await keep_contact(expire, clock, 20)
    session = await open_session(link)
    once = leader_link.fetch_once

    async def freeze_before_the_verdict(sql: str, *parameters: object) -> object:
        if sql.lstrip().startswith("update worker_sessions"):
            # a minute passes for everybody else, in which nobody beats, and the verdict arrives
            await silence(link, 14.5)
        return await once(sql, *parameters)

    monkeypatch.setattr(leader_link, "fetch_once", freeze_before_the_verdict)
    await keep_contact(expire, clock, 1)

    assert await ended(link) == []
    assert session


async def test_who_does_not_lead_ends_nobody(
    expire: Expire, clock: Clock, link: Link, lease: LeaseHolder
) -> None:
    await keep_contact(expire, clock, 20)
    await open_session(link)
    await silence(link, 60)
    await lease.release()

    with pytest.raises(LeaseLost):
        await keep_contact(expire, clock, 1)

    assert await ended(link) == []


async def test_what_an_ended_session_ran_is_given_back_without_any_wait(
    sweep: Sweep, database: Database, link: Link, registry: CollectorRegistry
) -> None:
    again, last = await create(database), await create(database, handler="once")
    session = await open_session(link)
    await claim(link, session, again, last)
    assert await sweep.step() == TIMINGS.sessions_s
    assert await row(link, again, "status") == ("IN_PROGRESS",), "its session lives"
    await link.fetch(statements.END_SESSION, session, "test")

    await sweep.step()

    assert await row(link, again, "status, attempt") == ("PENDING", 1)
    assert await row(link, last, "status") == ("FAILED",)
    for became in ("PENDING", "FAILED"):
        labels = {"flow": "default", "became": became}
        assert registry.get_sample_value("taskflow_leases_lost_total", labels) == 1


async def test_a_sweep_that_was_full_goes_on_at_once(
    sweep: Sweep, database: Database, link: Link
) -> None:
    ids = await create_many(database, 5_001)
    session = await open_session(link)
    await claim(link, session, *ids)
    await link.fetch(statements.END_SESSION, session, "test")

    assert await sweep.step() == 0
    assert await sweep.step() == TIMINGS.sessions_s
    assert await link.fetch("select count(*) from tasks where waiting") == [(5_001,)]


@asynccontextmanager
async def beating(settings: DatabaseSettings, session: int) -> AsyncIterator[None]:
    """Beat as a worker does, one that needs a moment to come back after an outage."""
    link = Link(settings, application_name="heart")

    async def beat() -> None:
        while True:
            try:
                await link.fetch_once(statements.BEAT, session)
                await asyncio.sleep(0.1)
            except (psycopg.Error, OSError):
                await link.fetch("select 1")
                await asyncio.sleep(QUICK.expire_after_s / 2)

    heart = asyncio.create_task(beat())
    try:
        yield
    finally:
        heart.cancel()
        await asyncio.gather(heart, return_exceptions=True)
        await link.close()


async def let_pass(seconds: float) -> None:
    began = time.monotonic()

    async def passed() -> float:
        return time.monotonic() - began

    await eventually(passed, lambda s: s > seconds, within_s=seconds + 5)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_long_restart_of_postgresql_ends_no_living_session(
    tmp_path: Path, redis_settings: RedisSettings, how: str
) -> None:
    with EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off"}) as postgres:
        migrations.upgrade(postgres.url())
        settings = DatabaseSettings(DATABASE_URL=SecretStr(postgres.url()))
        async with AsyncExitStack() as stack:
            link = Link(settings, application_name="test")
            stack.push_async_callback(link.close)
            living, dead = await open_session(link), await open_session(link)
            await stack.enter_async_context(beating(settings, living))
            await stack.enter_async_context(dispatching(settings, redis_settings))
            await eventually(lambda: ended(link), lambda ids: ids == [dead], what="the end of one")
            later = await open_session(link)  # silent, so that there is something to wait for

            await asyncio.to_thread(postgres.kill if how == "kill" else postgres.stop)
            await let_pass(2 * QUICK.expire_after_s)
            await asyncio.to_thread(postgres.start)

            await eventually(
                lambda: ended(link), lambda ids: later in ids, what="judgement after the restart"
            )
            assert await ended(link) == [dead, later]


async def test_a_killed_workers_tasks_run_again_and_a_living_ones_do_not(
    database: Database,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
    link: Link,
) -> None:
    kept, lost = await create(database), await create(database)
    living, dead = await open_session(link), await open_session(link)
    await claim(link, living, kept)
    await claim(link, dead, lost)

    async def status(task: str) -> tuple[object, ...]:
        return await row(link, task, "status, published_at is not null")

    quiet_audit = replace(QUICK, audit_s=60.0)
    async with (
        beating(database_settings, living),
        dispatching(database_settings, redis_settings, timings=quiet_audit),
    ):
        await eventually(lambda: status(lost), lambda seen: seen == ("PENDING", True))

    assert await status(kept) == ("IN_PROGRESS", True)
