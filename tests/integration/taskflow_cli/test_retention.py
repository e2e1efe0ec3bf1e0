"""What is old goes, what is not stays."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from taskflow_cli import retention
from taskflow_cli.retention import Connection, first_id_at, retain
from taskflow_core.db.partitions import create_month, name_of

NOW = datetime.now(UTC)
BEFORE = NOW - timedelta(days=90)
OLD, YOUNG = NOW - timedelta(days=100), NOW - timedelta(days=80)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True) as opened:
        yield opened


def add(
    connection: Connection,
    *,
    created: datetime,
    finished: datetime | None,
    status: str = "COMPLETED",
) -> UUID:
    task_id = UUID(int=first_id_at(created).int | (uuid4().int & ((1 << 64) - 1)))
    connection.execute(
        "insert into tasks (id, owner_id, title, flow, handler, status, waiting, created_at,"
        " finished_at) values (%s, %s, 't', 'default', 'echo', %s, %s, %s, %s)",
        (task_id, uuid4(), status, True if status == "PENDING" else None, created, finished),
    )
    connection.execute("insert into task_events (task_id, type) values (%s, 'x')", (task_id,))
    return task_id


def tasks(connection: Connection) -> set[object]:
    return {task_id for (task_id,) in connection.execute("select id from tasks").fetchall()}


def test_only_tasks_finished_for_long_enough_go(connection: Connection) -> None:
    for status in ("COMPLETED", "FAILED", "CANCELLED"):
        add(connection, created=OLD, finished=OLD, status=status)
    kept = {
        add(connection, created=OLD, finished=YOUNG),
        add(connection, created=YOUNG, finished=YOUNG),
        add(connection, created=OLD, finished=None, status="PENDING"),
    }

    gone = retain(connection, BEFORE)

    assert gone.tasks == 3
    assert tasks(connection) == kept


@pytest.mark.parametrize("batch", [1, 2, 7, 1000])
def test_any_size_of_batch_finds_all(connection: Connection, batch: int) -> None:
    for day in range(91, 101):
        add(connection, created=NOW - timedelta(days=day), finished=OLD)
        add(connection, created=NOW - timedelta(days=day), finished=YOUNG)

    assert retain(connection, BEFORE, batch=batch).tasks == 10
    assert len(tasks(connection)) == 10


def test_months_of_events_that_ended_before_go(connection: Connection) -> None:
    month = BEFORE.replace(day=1).date()
    old = (month - timedelta(days=1)).replace(day=1)
    for first in (old, month):
        connection.execute(create_month(first).encode())

    assert retain(connection, BEFORE).partitions == (name_of(old),)

    left = connection.execute(
        "select to_regclass(%s) is null, to_regclass(%s) is null", (name_of(old), name_of(month))
    )
    assert left.fetchone() == (True, False), "the month in which the limit falls stays whole"


def test_stray_events_and_sessions_of_workers_go(connection: Connection) -> None:
    for at in (OLD, YOUNG):
        connection.execute(
            "insert into task_events (task_id, type, at) values (%s, 'x', %s)", (uuid4(), at)
        )
        connection.execute(
            "insert into worker_sessions (flow, replica, ended_at) values ('f', 'r', %s)", (at,)
        )
    connection.execute("insert into worker_sessions (flow, replica) values ('f', 'r')")

    gone = retain(connection, BEFORE, batch=1)

    assert (gone.stray_events, gone.worker_sessions) == (1, 1)
    assert connection.execute("select count(*) from task_events").fetchone() == (1,)
    assert connection.execute("select count(*) from worker_sessions").fetchone() == (2,)


def test_a_dry_run_says_the_same_and_changes_nothing(connection: Connection) -> None:
    old = (BEFORE.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    connection.execute(create_month(old).encode())
    add(connection, created=OLD, finished=OLD)

    would_go = retain(connection, BEFORE, dry_run=True)

    assert len(tasks(connection)) == 1
    assert retain(connection, BEFORE) == would_go
    assert retain(connection, BEFORE) == retention.Retained((), 0, 0, 0)


def test_nobody_waits_for_a_month_that_is_in_use(
    connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LOCK_WAIT", "50ms")
    old = (BEFORE.replace(day=1) - timedelta(days=1)).date().replace(day=1)
    connection.execute(create_month(old).encode())
    with psycopg.connect(database_url) as reader:
        reader.execute("select count(*) from task_events")

        with pytest.raises(retention.Busy, match=name_of(old)):
            retain(connection, BEFORE)

    assert retain(connection, BEFORE).partitions == (name_of(old),)
