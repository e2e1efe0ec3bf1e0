"""Monthly partitions of `task_events`: made ahead by the dispatcher, dropped by retention.

A default partition takes what no month does, so that a late dispatcher never fails an insert.
"""

from datetime import UTC, date, datetime

MONTHS_AHEAD = 2


def month_after(first: date) -> date:
    """Return the first day of the month after the one that begins with `first`."""
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)


def months_from(now: datetime, count: int) -> list[date]:
    """Return the first days of `count` months, beginning with the (UTC) month of `now`."""
    months = [now.astimezone(UTC).date().replace(day=1)]
    while len(months) < count:
        months.append(month_after(months[-1]))
    return months


def create_month(first: date) -> str:
    """Return the statement that creates the partition of one month, if it is not there."""
    return (
        f"create table if not exists {name_of(first)} partition of task_events"
        f" for values from ('{first} 00:00+00') to ('{month_after(first)} 00:00+00')"
    )


def name_of(first: date) -> str:
    """Return the name of the partition of the month that begins with `first`."""
    return f"task_events_{first:%Y_%m}"
