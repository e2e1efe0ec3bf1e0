"""Top-up on real servers: what is due stands in the windows, as much as is wanted, whatever happens."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis import RedisError
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_core.queue import keys
from taskflow_core.queue.window import WINDOW_MAX, Window
from taskflow_core.redis import connect
from taskflow_core.settings import RedisSettings
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings
from taskflow_worker.dispatcher.top_up import TopUp
from tests.support.queue import OWNER, create, create_many

TICK_S = Timings().tick_s


@pytest.fixture
def slots() -> dict[str, int]:
    return {}


@pytest.fixture
def top_up(
    leader: LeaderLink, window: Window, slots: dict[str, int], metrics: DispatcherMetrics
) -> TopUp:
    return TopUp(leader, window, slots=slots, metrics=metrics, timings=Timings())


async def backlog(link: Link, flow: str, count: int, *, priority: int = 1) -> None:
    """Put a deep backlog there, faster than by creating it."""
    await link.fetch(
        "insert into tasks (id, owner_id, title, flow, handler, waiting, priority)"
        " select gen_random_uuid(), $1, 't', $2, 'echo', true, $3"
        " from generate_series(1, $4::int)",
        *(OWNER, flow, priority, count),
    )


async def published(link: Link) -> int:
    ((count,),) = await link.fetch("select count(*) from tasks where published_at is not null")
    return int(count)


async def to_rest(top_up: TopUp) -> float:
    """Do rounds until one wants to rest."""
    async with asyncio.timeout(20):
        while (rest_s := await top_up.step()) == 0:
            pass
    return rest_s


async def test_what_is_due_stands_in_the_window_and_is_marked(
    top_up: TopUp, window: Window, database: Database, link: Link, registry: CollectorRegistry
) -> None:
    ids = await create_many(database, 7, publish=False)

    assert await top_up.step() == TICK_S

    assert await window.task_ids("default") == set(ids)
    assert await published(link) == 7
    assert (
        registry.get_sample_value("taskflow_dispatcher_published_total", {"flow": "default"}) == 7
    )


async def test_urgent_tasks_stand_before_others_and_older_ones_before_younger(
    top_up: TopUp, window: Window, database: Database
) -> None:
    medium = await create_many(database, 3, publish=False)
    high = await create_many(database, 2, publish=False, priority=0)

    await top_up.step()

    popped = [await window.pop("default", 9, wait_s=0.1) for _ in range(2)]
    assert [some.task_ids for some in popped if some] == [high, medium]


async def test_a_deep_backlog_fills_the_window_up_to_its_target_and_no_further(
    top_up: TopUp, window: Window, link: Link, slots: dict[str, int]
) -> None:
    await backlog(link, "deep", 20_000)

    await to_rest(top_up)
    assert await window.length("deep") == 100
    slots["deep"] = 700
    await to_rest(top_up)
    assert await window.length("deep") == 1_400
    slots["deep"] = 100_000
    await to_rest(top_up)
    assert await window.length("deep") == await published(link) == WINDOW_MAX


async def test_a_window_that_is_drained_is_filled_again_and_becomes_longer(
    top_up: TopUp, window: Window, link: Link
) -> None:
    await backlog(link, "deep", 20_000)
    await to_rest(top_up)
    before = top_up.target("deep")

    for _ in range(5):
        await window.pop("deep", 5_000, wait_s=0.1)
        await to_rest(top_up)

    assert top_up.target("deep") > 5 * before
    assert await window.length("deep") > 5 * before


async def test_a_full_window_is_left_alone(top_up: TopUp, window: Window, link: Link) -> None:
    await backlog(link, "deep", 500)
    await to_rest(top_up)

    assert await top_up.step() == TICK_S
    assert await published(link) == 100


async def test_nobodys_backlog_stands_before_another_flows_first_task(
    top_up: TopUp, window: Window, link: Link, database: Database, slots: dict[str, int]
) -> None:
    for flow in ("deep-1", "deep-2", "deep-3"):
        await backlog(link, flow, 6_000, priority=0)
        slots[flow] = 5_000
    small = await create(database, publish=False, flow="small", priority=2)

    await top_up.step()

    assert await window.task_ids("small") == {small}, "in the first round already"
    assert await published(link) < 3_000, "which was a short one"


async def test_a_thousand_waiting_flows_are_served_in_one_round(
    top_up: TopUp, window: Window, link: Link
) -> None:
    await link.fetch(
        "insert into tasks (id, owner_id, title, flow, handler, waiting)"
        " select gen_random_uuid(), $1, 't', 'flow-' || n, 'echo', true"
        " from generate_series(1, 1000) n",
        OWNER,
    )

    await top_up.step()

    flows = [f"flow-{n}" for n in range(1, 1_001)]
    assert set((await window.lengths(flows)).values()) == {1}


async def test_a_task_of_the_future_is_published_when_it_is_due(
    top_up: TopUp, window: Window, database: Database, link: Link
) -> None:
    task = await create(database, publish=False, run_at=datetime.now(UTC) + timedelta(hours=1))
    assert await top_up.step() == TICK_S
    assert await window.length("default") == 0

    await link.fetch("update tasks set run_at = now()")
    await top_up.step()

    assert await window.task_ids("default") == {task}


async def test_an_idle_round_is_one_statement_and_asks_redis_nothing(
    top_up: TopUp, leader_link: Link, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await top_up.step()
    statements: list[str] = []
    once = leader_link.fetch_once

    async def counted(sql: str, *parameters: object) -> object:
        statements.append(sql)
        return await once(sql, *parameters)

    monkeypatch.setattr(leader_link, "fetch_once", counted)
    before = (await redis.info("stats"))["total_commands_processed"]

    assert await top_up.step() == TICK_S

    asked = (await redis.info("stats"))["total_commands_processed"] - before
    assert (len(statements), asked) == (1, 1), "the one command is the question itself"


async def test_nothing_is_marked_as_published_while_redis_is_away(
    leader: LeaderLink, metrics: DispatcherMetrics, database: Database, link: Link
) -> None:
    await create_many(database, 5, publish=False)
    nowhere = connect(RedisSettings(REDIS_URL=SecretStr("redis://127.0.0.1:1/0")))
    top_up = TopUp(leader, Window(nowhere), slots={}, metrics=metrics, timings=Timings())

    with pytest.raises(RedisError):
        await top_up.step()

    assert await published(link) == 0
    await nowhere.aclose()


async def test_a_push_that_failed_is_repeated_before_anything_else(
    top_up: TopUp,
    window: Window,
    database: Database,
    link: Link,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = await create_many(database, 3, publish=False)

    async def cut_off(_: object) -> dict[str, int]:
        raise RedisError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(window, "append", cut_off)
        with pytest.raises(RedisError):
            await top_up.step()
        assert await published(link) == 3, "marked, and not pushed"
        more = await create_many(database, 2, publish=False)
        with pytest.raises(RedisError):
            await top_up.step()
        assert await published(link) == 3, "no more is marked before those are pushed"

    await to_rest(top_up)
    await to_rest(top_up)

    assert await window.task_ids("default") == {*first, *more}


async def test_a_redis_that_is_full_is_not_given_the_whole_backlog_to_lose(
    top_up: TopUp, redis: Redis, link: Link, window: Window
) -> None:
    await backlog(link, "deep", 3_000)
    await redis.config_set("maxmemory", 1)
    try:
        for _ in range(5):
            assert await top_up.step() == TICK_S
        assert await published(link) == 100
    finally:
        await redis.config_set("maxmemory", 0)

    await to_rest(top_up)

    assert await window.length("deep") == 100


async def test_keys_of_another_type_are_mended_and_stop_no_other_flow(
    top_up: TopUp, window: Window, redis: Redis, database: Database
) -> None:
    await redis.set(keys.ready("bad")[1], "?")
    await redis.hset(keys.ready("bad")[2], "a", "b")
    bad = await create(database, publish=False, flow="bad")
    good = await create(database, publish=False, flow="good")

    await top_up.step()

    assert await window.task_ids("bad") == {bad}
    assert await window.task_ids("good") == {good}


async def test_a_key_that_is_spoilt_between_look_and_push_is_mended_by_the_next_round(
    top_up: TopUp,
    window: Window,
    redis: Redis,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad = await create(database, publish=False, flow="bad")
    good = await create(database, publish=False, flow="good")
    lengths = window.lengths

    async def spoil(flows: list[str]) -> dict[str, int]:
        seen = await lengths(flows)
        await redis.set(keys.ready("bad")[1], "?")
        return seen

    with monkeypatch.context() as spoiling:
        spoiling.setattr(window, "lengths", spoil)
        await top_up.step()
    assert await window.task_ids("good") == {good}

    await top_up.step()

    assert await window.task_ids("bad") == {bad}


async def test_who_does_not_lead_marks_and_pushes_nothing(
    top_up: TopUp, lease: LeaseHolder, database: Database, link: Link, window: Window
) -> None:
    await create(database, publish=False)
    await lease.release()

    with pytest.raises(LeaseLost):
        await top_up.step()

    assert await published(link) == await window.length("default") == 0


async def test_who_loses_the_lease_between_mark_and_push_pushes_nothing(
    top_up: TopUp,
    lease: LeaseHolder,
    leader_link: Link,
    database: Database,
    window: Window,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create(database, publish=False)
    once = leader_link.fetch_once

    async def slow(sql: str, *parameters: object) -> object:
        rows = await once(sql, *parameters)
        if "skip locked" in sql:
            await lease.release()
        return rows

    monkeypatch.setattr(leader_link, "fetch_once", slow)

    with pytest.raises(LeaseLost):
        await top_up.step()

    assert await window.length("default") == 0, "left to the next leader's audit"


async def test_a_round_whose_backend_is_killed_fails_and_the_next_one_works(
    top_up: TopUp, window: Window, database: Database, link: Link
) -> None:
    task = await create(database, publish=False)
    await top_up.step()
    await window.pop("default", 1, wait_s=0.1)
    await link.fetch("update tasks set published_at = null")
    await link.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'leader'"
    )

    with pytest.raises(psycopg.OperationalError):
        await top_up.step()
    await top_up.step()

    assert await window.task_ids("default") == {task}


async def test_two_leaders_at_once_publish_everything_and_nothing_twice(
    leader: LeaderLink,
    link: Link,
    window: Window,
    metrics: DispatcherMetrics,
    slots: dict[str, int],
    top_up: TopUp,
) -> None:
    await backlog(link, "deep", 4_000)
    slots["deep"] = 5_000
    other_lease = LeaseHolder(link, "another", "replica-2", ttl_s=60.0)
    await other_lease.acquire()
    other = TopUp(
        LeaderLink(other_lease, link), window, slots=slots, metrics=metrics, timings=Timings()
    )

    for _ in range(4):
        await asyncio.gather(top_up.step(), other.step())

    assert await published(link) == 4_000
    assert await window.length("deep") == len(await window.task_ids("deep")) == 4_000
