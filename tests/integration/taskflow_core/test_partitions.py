"""Partitions of `task_events` on a real database."""

from datetime import UTC, date, datetime

import psycopg
import pytest

from taskflow_core.db.link import Link
from taskflow_core.db.partitions import MONTHS_AHEAD, create_month, months_from, name_of
from taskflow_core.ids import new_id
from taskflow_core.queue import upkeep

_FAR = date(2100, 12, 1)


async def add_event(link: Link, at: datetime) -> str:
    """Return the name of the partition that took it."""
    rows = await link.fetch(
        "insert into task_events (task_id, type, at) values ($1, 'task.created', $2)"
        " returning tableoid::regclass::text",
        new_id(),
        at,
    )
    return str(rows[0][0])


async def test_the_migration_has_made_this_month_and_the_next_ones(link: Link) -> None:
    names = [name_of(month) for month in months_from(datetime.now(UTC), 1 + MONTHS_AHEAD)]

    assert await link.fetch(upkeep.MISSING_PARTITIONS, names) == []
    assert await link.fetch(upkeep.MISSING_PARTITIONS, [*names, name_of(_FAR)]) == [
        (name_of(_FAR),)
    ]


async def test_a_month_takes_its_events_to_the_last_moment(link: Link) -> None:
    last, after = datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)
    await link.fetch(create_month(_FAR))

    assert await add_event(link, last) == "task_events_2100_12"
    assert await add_event(link, after) == "task_events_default"


async def test_making_a_month_twice_does_nothing(link: Link) -> None:
    await link.fetch(create_month(_FAR))
    await link.fetch(create_month(_FAR))


async def test_a_month_whose_events_are_in_the_default_partition_is_refused(link: Link) -> None:
    await add_event(link, datetime(2100, 12, 24, tzinfo=UTC))

    with pytest.raises(psycopg.errors.CheckViolation):
        await link.fetch(create_month(_FAR))
