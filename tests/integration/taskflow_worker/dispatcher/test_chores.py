"""Partitions made ahead, and what has expired forgotten."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_core.db.partitions import MONTHS_AHEAD, months_from, name_of
from taskflow_core.ids import new_id
from taskflow_core.queue import upkeep
from taskflow_worker.dispatcher.chores import Forget, MakePartitions, chores
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.timings import Timings
from tests.support.queue import open_session

TIMINGS = Timings()


@pytest.fixture
def partitions(leader: LeaderLink) -> MakePartitions:
    return MakePartitions(leader, timings=TIMINGS)


def months() -> list[str]:
    return [name_of(month) for month in months_from(datetime.now(UTC), 1 + MONTHS_AHEAD)]


async def drop_months(link: Link) -> None:
    for name in months():
        await link.fetch(f"drop table {name}")


async def missing(link: Link) -> list[str]:
    return [name for (name,) in await link.fetch(upkeep.MISSING_PARTITIONS, months())]


async def test_missing_months_are_made_and_then_nothing_is_left_to_do(
    partitions: MakePartitions, link: Link
) -> None:
    await drop_months(link)

    with capture_logs() as logs:
        assert await partitions.step() == TIMINGS.chores_s
    assert [entry["partition"] for entry in logs] == months()
    with capture_logs() as logs:
        assert await partitions.step() == TIMINGS.chores_s
    assert logs == []
    assert await missing(link) == []


async def test_a_month_with_rows_in_the_default_partition_does_not_stop_the_others(
    partitions: MakePartitions, link: Link
) -> None:
    await drop_months(link)
    await link.fetch(
        "insert into task_events (task_id, type) values ($1, 'task.created')", new_id()
    )

    with capture_logs() as logs:
        assert await partitions.step() == TIMINGS.chores_s

    assert await missing(link) == months()[:1]
    assert {"warning": "dispatcher.partition_refused"}.items() <= {
        entry["log_level"]: entry["event"] for entry in logs
    }.items()
    assert await link.fetch("select count(*) from task_events_default") == [(1,)]


async def test_a_long_reader_delays_the_partitions_and_not_the_writers(
    partitions: MakePartitions, link: Link, database: Database
) -> None:
    await drop_months(link)
    async with database.connection() as reader, reader.transaction():
        await reader.execute("select count(*) from task_events")

        assert await partitions.step() == TIMINGS.chore_again_s

        await link.fetch_once(
            "insert into task_events (task_id, type, at) values ($1, 'task.created', $2)",
            new_id(),
            datetime(2100, 1, 1, tzinfo=UTC),
            within_s=1,
        )
    assert await partitions.step() == TIMINGS.chores_s
    assert await missing(link) == []


async def test_what_has_expired_is_forgotten_batch_by_batch(leader: LeaderLink, link: Link) -> None:
    forget = Forget("idempotency_keys", leader, upkeep.FORGET_KEYS, timings=TIMINGS)
    await link.fetch(
        "insert into idempotency_keys (owner_id, key, fingerprint, expires_at)"
        " select $1, n::text, '', now() + (n - 5001.5) * interval '1 hour'"
        " from generate_series(1, 5003) n",
        new_id(),
    )

    assert [await forget.step() for _ in range(3)] == [0.0, 0.0, TIMINGS.chores_s]
    assert await link.fetch("select key from idempotency_keys order by key") == [
        ("5002",),
        ("5003",),
    ]


async def test_all_chores_are_there_and_sessions_are_kept_for_a_week(
    leader: LeaderLink, link: Link
) -> None:
    week = timedelta(seconds=TIMINGS.keep_sessions_s)
    assert week == timedelta(days=7)
    session = await open_session(link)
    await link.fetch("update worker_sessions set ended_at = now() - interval '6 days 23 hours'")
    by_name = {chore.name: chore for chore in chores(leader, TIMINGS)}
    assert set(by_name) == {"partitions", "idempotency_keys", "worker_sessions"}

    assert await by_name["worker_sessions"].step() == TIMINGS.chores_s
    assert await link.fetch("select id from worker_sessions") == [(session,)]
    await link.fetch("update worker_sessions set ended_at = ended_at - interval '2 hours'")
    assert await by_name["worker_sessions"].step() == 0
    assert await link.fetch("select id from worker_sessions") == []


async def test_who_does_not_lead_does_no_chores(
    partitions: MakePartitions, link: Link, lease: LeaseHolder
) -> None:
    await drop_months(link)
    await lease.release()

    with pytest.raises(LeaseLost):
        await partitions.step()

    assert await missing(link) == months()
