"""The audit on real servers: nothing that was published stays lost, nothing that is there is repeated."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from redis import ConnectionError as RedisAway
from redis import RedisError
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_core.queue import keys
from taskflow_core.queue.window import Entry, Window
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher import audit as audit_module
from taskflow_worker.dispatcher.audit import Audit
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings
from taskflow_worker.dispatcher.top_up import TopUp
from tests.support.queue import claim, create, create_many, open_session

TIMINGS = Timings()


@pytest.fixture
def audit(leader: LeaderLink, window: Window, metrics: DispatcherMetrics) -> Audit:
    return Audit(leader, window, metrics=metrics, timings=TIMINGS)


@pytest.fixture
def top_up(leader: LeaderLink, window: Window, metrics: DispatcherMetrics) -> TopUp:
    slots = dict.fromkeys("abcd", 500)
    return TopUp(leader, window, slots=slots, metrics=metrics, timings=TIMINGS)


async def age(link: Link) -> None:
    """Let time pass for what is published: it is overdue now."""
    await link.fetch("update tasks set published_at = published_at - interval '6 s' where waiting")


async def to_rest(top_up: TopUp) -> None:
    async with asyncio.timeout(20):
        while await top_up.step() == 0:
            pass


async def publish(window: Window, flow: str, *ids: str) -> None:
    await window.publish(flow, [Entry(task, 1) for task in ids])


async def published(link: Link) -> set[str]:
    rows = await link.fetch("select id::text from tasks where waiting and published_at is not null")
    return {task for (task,) in rows}


async def test_what_is_in_its_window_is_left_alone(
    audit: Audit, window: Window, database: Database, link: Link
) -> None:
    ids = await create_many(database, 20)
    await publish(window, "default", *ids)
    await age(link)

    for _ in range(3):
        assert await audit.step() == TIMINGS.audit_s

    assert await published(link) == set(ids)


async def test_a_push_that_was_lost_is_repeated_after_two_looks(
    audit: Audit,
    top_up: TopUp,
    window: Window,
    database: Database,
    link: Link,
    registry: CollectorRegistry,
) -> None:
    lost, there = await create_many(database, 2)
    await publish(window, "default", there)
    await age(link)

    assert await audit.step() == TIMINGS.confirm_s, "the second look comes soon"
    assert await published(link) == {lost, there}, "once may be a worker about to claim it"
    assert await audit.step() == TIMINGS.audit_s
    assert await published(link) == {there}
    await top_up.step()

    assert await window.task_ids("default") == {lost, there}
    retracted = registry.get_sample_value(
        "taskflow_dispatcher_retracted_total", {"flow": "default"}
    )
    assert retracted == 1


async def test_what_was_published_again_between_two_looks_is_not_missing_twice(
    audit: Audit, database: Database, link: Link
) -> None:
    task = await create(database)
    await age(link)
    await audit.step()

    await age(link)  # another time of publication, and overdue again
    await audit.step()

    assert await published(link) == {task}
    await audit.step()
    assert await published(link) == set()


async def test_what_is_claimed_between_two_looks_is_not_retracted(
    audit: Audit, database: Database, link: Link
) -> None:
    task = await create(database)
    await age(link)
    await audit.step()

    assert await claim(link, await open_session(link), task) == [(task, 1)]
    assert await audit.step() == TIMINGS.audit_s

    assert await link.fetch("select published_at is not null from tasks") == [(True,)]


async def test_what_was_published_just_now_is_not_looked_for(
    audit: Audit, database: Database
) -> None:
    await create(database)

    assert await audit.step() == TIMINGS.audit_s
    assert await audit.step() == TIMINGS.audit_s


async def test_after_a_flush_everything_is_in_its_window_again(
    audit: Audit, top_up: TopUp, window: Window, database: Database, link: Link, redis: Redis
) -> None:
    ids = {flow: set(await create_many(database, 250, flow=flow)) for flow in ("a", "b", "c", "d")}
    for flow, some in ids.items():
        await publish(window, flow, *some)
    await age(link)
    await redis.flushall()

    await audit.step()
    await audit.step()
    assert await published(link) == set()
    await to_rest(top_up)

    for flow, some in ids.items():
        assert await window.task_ids(flow) == some


async def test_a_long_window_of_present_tasks_hides_no_missing_one(
    audit: Audit,
    window: Window,
    database: Database,
    link: Link,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit_module, "PAGE", 10)
    present = await create_many(database, 95)
    await publish(window, "default", *present)
    lost = await create_many(database, 3)  # the youngest, on the last page
    await age(link)

    await audit.step()
    await audit.step()

    assert await published(link) == set(present)
    assert len(lost) == 3


async def test_more_missing_ones_than_are_noted_at_a_time_are_found_in_turns(
    audit: Audit, database: Database, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "PAGE", 10)
    monkeypatch.setattr(audit_module, "MOST_MISSING", 20)
    await create_many(database, 50)
    await age(link)

    left = []
    for _ in range(8):
        await audit.step()
        left.append(len(await published(link)))

    assert left[1] == 30, "the oldest twenty first"
    assert left[-1] == 0


async def test_nothing_is_missing_while_redis_is_away(
    audit: Audit,
    window: Window,
    database: Database,
    link: Link,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = await create_many(database, 5)
    await publish(window, "default", *ids)
    await age(link)

    async def away(_: str) -> set[str]:
        raise RedisAway("away")

    with monkeypatch.context() as cut:
        cut.setattr(window, "task_ids", away)
        for _ in range(3):
            with pytest.raises(RedisError):
                await audit.step()

    for _ in range(2):
        await audit.step()
    assert await published(link) == set(ids)


async def test_a_window_that_cannot_be_read_stops_no_other_flow(
    audit: Audit,
    top_up: TopUp,
    window: Window,
    redis: Redis,
    database: Database,
    link: Link,
) -> None:
    bad, good = await create(database, flow="bad"), await create(database, flow="good")
    await redis.set(keys.ready("bad")[1], "?")
    await redis.rpush(keys.ready("good")[1], "garbage", "", b"\xff\xfe", "x" * 100_000)
    await age(link)

    await audit.step()
    await audit.step()
    await top_up.step()

    assert await window.task_ids("bad") == {bad}
    assert good in await window.task_ids("good")


async def test_what_takes_too_long_goes_on_next_time_with_who_waited_longest(
    leader: LeaderLink,
    window: Window,
    metrics: DispatcherMetrics,
    database: Database,
    link: Link,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    looks: list[str] = []
    read = window.task_ids

    async def slow(flow: str) -> set[str]:
        looks.append(flow)
        now[0] += TIMINGS.audit_s  # longer than a whole round may take
        return await read(flow)

    monkeypatch.setattr(window, "task_ids", slow)
    for flow in ("a", "b", "c"):
        await publish(window, flow, await create(database, flow=flow))
    await create(database, flow="empty")
    await age(link)
    audit = Audit(leader, window, metrics=metrics, timings=TIMINGS, clock=lambda: now[0])

    for _ in range(5):
        await audit.step()

    assert looks == ["empty", "empty", "a", "b", "c"]


async def test_a_duplicate_entry_is_harmless(
    window: Window, database: Database, link: Link
) -> None:
    task = await create(database)
    await publish(window, "default", task, task)
    session = await open_session(link)
    popped = [await window.pop("default", 1, wait_s=0.1) for _ in range(2)]

    claims = [await claim(link, session, *some.task_ids) for some in popped if some]

    assert claims == [[(task, 1)], []]


async def test_who_does_not_lead_retracts_nothing(
    audit: Audit, lease: LeaseHolder, database: Database, link: Link
) -> None:
    task = await create(database)
    await age(link)
    await audit.step()
    await lease.release()

    with pytest.raises(LeaseLost):
        await audit.step()

    assert await published(link) == {task}


async def test_two_audits_at_once_retract_once(
    audit: Audit,
    leader: LeaderLink,
    window: Window,
    metrics: DispatcherMetrics,
    database: Database,
    link: Link,
    registry: CollectorRegistry,
) -> None:
    await create_many(database, 30)
    await age(link)
    other = Audit(leader, window, metrics=metrics, timings=TIMINGS)

    for _ in range(2):
        await asyncio.gather(audit.step(), other.step())

    assert await published(link) == set()
    retracted = registry.get_sample_value(
        "taskflow_dispatcher_retracted_total", {"flow": "default"}
    )
    assert retracted == 30
