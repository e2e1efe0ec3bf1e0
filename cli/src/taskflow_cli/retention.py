"""Retention: old history and finished tasks go, in steps that nobody waits for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import psycopg

from taskflow_core.db.partitions import month_after, name_of

type Connection = psycopg.Connection[tuple[object, ...]]

# UUIDv7 (RFC 9562 §5.7) begins with 48 bits of Unix milliseconds
_TIME_SHIFT = 80
# dropping a partition locks the whole log for a moment: rather not now than in everybody's way
_LOCK_WAIT = "2s"
_DEFAULT_PARTITION = "task_events_default"

# partitions: the monthly ones there are
_PARTITIONS = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = 'task_events'::regclass order by 1
"""
# page: the next tasks by id, and which of them are finished for long enough. Ids are in the order of
# creation, so the primary key leads through the old ones only and no further index is needed.
_PAGE = """
select id, status in ('COMPLETED', 'FAILED', 'CANCELLED') and finished_at < %(before)s
  from tasks where id > %(after)s and id < %(end)s order by id limit %(limit)s
"""
_DELETE = """
delete from tasks where id = any(%(ids)s)
   and status in ('COMPLETED', 'FAILED', 'CANCELLED') and finished_at < %(before)s
"""
# stray events: those that no month took
_DELETE_EVENTS = f"""
delete from {_DEFAULT_PARTITION} where ctid = any(array(
  select ctid from {_DEFAULT_PARTITION} where at < %(before)s limit %(limit)s))
"""  # noqa: S608 - the one inserted value is a constant of ours
_COUNT_EVENTS = f"select count(*) from {_DEFAULT_PARTITION} where at < %(before)s"  # noqa: S608
_DELETE_SESSIONS = "delete from worker_sessions where ended_at < %(before)s"
_COUNT_SESSIONS = "select count(*) from worker_sessions where ended_at < %(before)s"


@dataclass(frozen=True)
class Retained:
    """What went, or would go: names of partitions, and numbers of rows."""

    partitions: tuple[str, ...]
    tasks: int
    stray_events: int
    worker_sessions: int


class Busy(Exception):
    """A partition could not be dropped without making others wait."""


def retain(
    connection: Connection, before: datetime, *, batch: int = 1000, dry_run: bool = False
) -> Retained:
    """Drop months of events that ended before `before`, and delete tasks finished before it.

    `connection` is in autocommit mode: each step is a transaction of its own, and whatever was done
    stays done if a later one fails. Raises `Busy`.
    """
    old = tuple(_old_partitions(connection, before))
    stray_events = _count(connection, _COUNT_EVENTS, before)
    sessions = _count(connection, _COUNT_SESSIONS, before)
    if dry_run:
        tasks = sum(len(ids) for ids in _finished(connection, before, batch))
        return Retained(old, tasks, stray_events, sessions)
    for name in old:
        _drop(connection, name)
    while connection.execute(_DELETE_EVENTS, {"before": before, "limit": batch}).rowcount:
        pass
    tasks = sum(
        connection.execute(_DELETE, {"ids": ids, "before": before}).rowcount
        for ids in _finished(connection, before, batch)
        if ids
    )
    connection.execute(_DELETE_SESSIONS, {"before": before})
    return Retained(old, tasks, stray_events, sessions)


def first_id_at(moment: datetime) -> UUID:
    """Return an id that is lower than that of every task created at `moment` or later."""
    return UUID(int=int(moment.timestamp() * 1000) << _TIME_SHIFT)


def _finished(connection: Connection, before: datetime, batch: int) -> Iterator[list[UUID]]:
    """Give the ids of old finished tasks, page by page."""
    after, end = UUID(int=0), first_id_at(before)
    while True:
        page = connection.execute(
            _PAGE, {"before": before, "after": after, "end": end, "limit": batch}
        ).fetchall()
        if not page:
            return
        yield [UUID(str(task_id)) for task_id, is_old in page if is_old]
        after = UUID(str(page[-1][0]))


def _old_partitions(connection: Connection, before: datetime) -> Iterator[str]:
    for (name,) in connection.execute(_PARTITIONS).fetchall():
        month = _month_of(str(name))
        if month is not None and month_after(month) <= before.astimezone(UTC).date():
            yield str(name)


def _month_of(name: str) -> date | None:
    """Return the first day of a monthly partition; None for any other table."""
    try:
        first = datetime.strptime(name, "task_events_%Y_%m").replace(tzinfo=UTC).date()
    except ValueError:
        return None
    return first if name_of(first) == name else None


def _drop(connection: Connection, name: str) -> None:
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{_LOCK_WAIT}'")
            connection.execute(f'drop table "{name}"')
    except psycopg.errors.LockNotAvailable:
        raise Busy(name) from None


def _count(connection: Connection, sql: str, before: datetime) -> int:
    row = connection.execute(sql, {"before": before}).fetchone()
    return int(str(row[0])) if row else 0
