"""The dispatcher's statements, one by one, on a real database."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from taskflow_core.db.database import Database
from taskflow_core.db.link import Link, array
from taskflow_core.ids import new_id
from taskflow_core.queue import statements, upkeep
from taskflow_core.settings import DatabaseSettings
from tests.support.queue import OWNER, claim, create, create_many, open_session, row

_BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "00000000-0000-0000-0000-000000000000")


async def top_up(link: Link, **rooms: int) -> dict[tuple[str, int], list[str]]:
    """Return (flow, priority) → ids."""
    rows = await link.fetch(upkeep.TOP_UP, list(rooms), list(rooms.values()))
    taken = {}
    for flow, priority, count, entries in rows:
        taken[flow, priority] = [entry[:36] for entry in entries.split(",")]
        assert count == len(taken[flow, priority])
    return taken


async def overdue(link: Link, flow: str = "default", page: int = 5_000) -> list[str]:
    rows = await link.fetch(upkeep.OVERDUE, flow, 5.0, *_BEGINNING, page)
    return [task_id for task_id, _ in rows]


async def publish_long_ago(link: Link) -> None:
    await link.fetch("update tasks set published_at = now() - interval '6 s' where waiting")


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


# ---- top-up


async def test_only_flows_with_something_due_and_unpublished_are_due(
    database: Database, link: Link
) -> None:
    await create(database, flow="published")
    await create(database, flow="later", publish=False, run_at=in_an_hour())
    await create(database, flow="persons", handler=None)
    for priority in range(3):
        await create(database, flow=f"due-{priority}", publish=False, priority=priority)
        await create(database, flow=f"due-{priority}", priority=priority, run_at=in_an_hour())

    due = await link.fetch(upkeep.DUE_FLOWS)

    assert sorted(due) == [("due-0",), ("due-1",), ("due-2",)]


async def test_top_up_takes_the_most_urgent_first(database: Database, link: Link) -> None:
    low = await create(database, publish=False, priority=2)
    high = await create(database, publish=False, priority=0)
    medium = await create(database, publish=False)
    await create(database, publish=False, priority=0, run_at=in_an_hour())

    assert await top_up(link, default=2) == {("default", 0): [high], ("default", 1): [medium]}
    assert await top_up(link, default=10) == {("default", 2): [low]}
    assert await top_up(link, default=10) == {}


async def test_top_up_takes_what_has_waited_longest_and_names_it_in_order(
    database: Database, link: Link
) -> None:
    ids = await create_many(database, 6, publish=False)
    now = datetime.now(UTC)
    for age, task in enumerate(ids):  # the newest by id has waited longest
        await link.fetch(
            "update tasks set run_at = $1 where id = $2::text::uuid",
            now - timedelta(minutes=age),
            task,
        )

    assert await top_up(link, default=4) == {("default", 1): ids[2:]}


async def test_one_top_up_serves_many_flows_each_up_to_its_room(
    database: Database, link: Link
) -> None:
    await create_many(database, 5, publish=False, flow="a")
    await create_many(database, 1, publish=False, flow="b")
    await create_many(database, 5, publish=False, flow="c")

    taken = await top_up(link, a=3, b=3)

    assert {flow: len(ids) for (flow, _), ids in taken.items()} == {"a": 3, "b": 1}
    assert (await row(link, taken["b", 1][0], "published_at = now()"))[0] is False
    assert await link.fetch("select count(*) from tasks where published_at is not null") == [(4,)]


async def test_two_top_ups_at_once_take_different_tasks_and_wait_for_nobody(
    database: Database, database_settings: DatabaseSettings, link: Link
) -> None:
    await create_many(database, 40, publish=False)
    async with database.connection() as other, other.transaction():
        await other.execute("select id from tasks order by id limit 10 for update")
        links = [Link(database_settings, application_name="test") for _ in range(2)]
        async with asyncio.timeout(5):
            taken = await asyncio.gather(*(top_up(one, default=30) for one in links))
        for one in links:
            await one.close()

    ids = [task for each in taken for some in each.values() for task in some]
    assert len(ids) == len(set(ids)) == 30, "ten are locked, the others are taken once"


async def test_far_off_tasks_of_a_higher_priority_are_not_walked_over(link: Link) -> None:
    await link.fetch(
        "insert into tasks (id, owner_id, title, flow, handler, waiting, priority, run_at)"
        " select gen_random_uuid(), $1, 't', 'default', 'echo', true, 0, now() + interval '1 day'"
        " from generate_series(1, 100000)",
        OWNER,
    )
    await link.fetch(
        "insert into tasks (id, owner_id, title, flow, handler, waiting, priority)"
        " select gen_random_uuid(), $1, 't', 'default', 'echo', true, 1 from generate_series(1, 50)",
        OWNER,
    )
    await link.fetch("vacuum analyze tasks")

    for sql, parameters in (
        (upkeep.DUE_FLOWS, ()),
        (upkeep.TOP_UP, (["default"], [20])),
        (upkeep.DEPTH, (["default"], 100_000)),
    ):
        plan = await link.fetch(f"explain (analyze, buffers, format json) {sql}", *parameters)
        top = plan[0][0][0]["Plan"]
        pages = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        assert pages < 2_000, f"{pages} pages read for {sql}"


# ---- sessions


async def test_sessions_silent_since_before_the_given_moment_end(link: Link) -> None:
    silent, beating = await open_session(link), await open_session(link)
    await link.fetch("update worker_sessions set heartbeat_at = now() - interval '16 s'")
    await link.fetch(statements.BEAT, beating)
    ((now,),) = await link.fetch(upkeep.CONTACT)

    assert await link.fetch(upkeep.EXPIRE, now - 17) == []
    assert [silent] == [session for session, _, _ in await link.fetch(upkeep.EXPIRE, now - 15)]
    assert await link.fetch(upkeep.EXPIRE, now - 15) == [], "it has ended already"


async def test_a_sweep_passes_over_rows_that_somebody_has_locked(
    database: Database, link: Link
) -> None:
    locked, free = await create(database), await create(database)
    session = await open_session(link)
    await claim(link, session, locked, free)
    await link.fetch(statements.END_SESSION, session, "test")

    async with database.connection() as other, other.transaction():
        await other.execute("select from tasks where id = %s for update", [locked])
        async with asyncio.timeout(5):
            assert await link.fetch(upkeep.SWEEP) == [("default", "PENDING", 1)]
    assert await link.fetch(upkeep.SWEEP) == [("default", "PENDING", 1)]


async def test_what_was_asked_to_stop_is_cancelled_when_its_worker_is_lost(
    database: Database, link: Link
) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)
    await link.fetch("update tasks set cancel_requested_at = now()")
    await link.fetch(statements.END_SESSION, session, "test")

    assert await link.fetch(upkeep.SWEEP) == [("default", "CANCELLED", 1)]
    assert await row(link, task, "finished_at is not null, error") == (True, None)


# ---- audit


async def test_flows_with_overdue_publications_are_found(database: Database, link: Link) -> None:
    await create(database, flow="old")
    await create(database, flow="older")
    await create(database, flow="backlog", publish=False)
    await publish_long_ago(link)
    await link.fetch("update tasks set published_at = null where flow = 'backlog'")
    await create(database, flow="old")
    await create(database, flow="new")

    assert sorted(await link.fetch(upkeep.OVERDUE_FLOWS, 5.0)) == [("old",), ("older",)]


async def test_overdue_tasks_come_in_pages_without_a_gap(database: Database, link: Link) -> None:
    ids = await create_many(database, 7)
    await publish_long_ago(link)  # all at the same moment, so the id decides
    last_at, last_id = _BEGINNING

    pages = []
    while page := await link.fetch(upkeep.OVERDUE, "default", 5.0, last_at, last_id, 3):
        pages.append([task_id for task_id, _ in page])
        last_id, last_at = page[-1]

    assert pages == [ids[:3], ids[3:6], ids[6:]]


async def test_only_what_still_waits_is_retracted(database: Database, link: Link) -> None:
    lost, running, again = await create_many(database, 3)
    await publish_long_ago(link)
    await claim(link, await open_session(link), running)
    await link.fetch("update tasks set published_at = now() where id = $1::text::uuid", again)

    retracted = await link.fetch(upkeep.RETRACT, array([lost, running, again]), 5.0)

    assert retracted == [(lost,)]
    assert await overdue(link) == []
    assert await top_up(link, default=9) == {("default", 1): [lost]}


# ---- signals


async def test_waiting_flows_are_found_published_or_not(database: Database, link: Link) -> None:
    await create(database, flow="b")
    await create(database, flow="a", publish=False)
    await create(database, flow="a", publish=False)
    await create(database, flow="c", handler=None)
    done = await create(database, flow="d")
    await claim(link, await open_session(link, "d"), done)

    assert {("a",), ("b",)} == set(await link.fetch(upkeep.WAITING_FLOWS))
    assert await link.fetch(upkeep.RUNNING) == [("d", 1)]


async def test_depth_counts_what_waits_up_to_a_bound(database: Database, link: Link) -> None:
    await create_many(database, 4, publish=False, priority=0)
    await create_many(database, 4, publish=False, priority=2)
    await create_many(database, 3)
    await create(database, publish=False, run_at=in_an_hour())
    await link.fetch("update tasks set run_at = run_at - interval '9 s'")

    ((flow, backlog, window, oldest),) = await link.fetch(upkeep.DEPTH, ["default"], 100)

    assert (flow, backlog, window) == ("default", 8, 3)
    assert oldest == pytest.approx(9, abs=3)
    ((_, *bounded, _),) = await link.fetch(upkeep.DEPTH, ["default"], 2)
    assert bounded == [2, 2]


async def test_an_empty_flow_has_no_depth_and_no_wait(database: Database, link: Link) -> None:
    await create(database, flow="later", publish=False, run_at=in_an_hour())

    assert await link.fetch(upkeep.DEPTH, ["empty", "later"], 100) == [
        ("empty", 0, 0, 0.0),
        ("later", 0, 0, 0.0),
    ]


# ---- maintenance


async def test_keys_are_forgotten_once_they_have_expired(link: Link) -> None:
    await link.fetch(
        "insert into idempotency_keys (owner_id, key, fingerprint, expires_at)"
        " select $1, n::text, '', now() + (n - 1.5) * interval '1 hour' from generate_series(0, 3) n",
        new_id(),
    )

    assert await link.fetch(upkeep.FORGET_KEYS) == [(2,)]
    assert await link.fetch(upkeep.FORGET_KEYS) == [(0,)]
    assert await link.fetch("select key from idempotency_keys order by key") == [("2",), ("3",)]


async def test_sessions_are_forgotten_long_after_they_ended(link: Link) -> None:
    live, lately, long_ago = [await open_session(link) for _ in range(3)]
    await link.fetch(
        "update worker_sessions set ended_at = now() - case id when $1::bigint then interval '8 days'"
        " else interval '6 days' end where id <> $2::bigint",
        long_ago,
        live,
    )

    assert await link.fetch(upkeep.FORGET_SESSIONS, 7 * 86_400.0) == [(1,)]
    assert await link.fetch("select id from worker_sessions order by id") == [(live,), (lately,)]
