"""Which partitions there should be."""

from datetime import UTC, date, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from taskflow_core.db.partitions import create_month, month_after, months_from, name_of


def test_the_months_begin_with_the_present_one_and_cross_the_year() -> None:
    assert months_from(datetime(2026, 11, 25, tzinfo=UTC), 3) == [
        date(2026, 11, 1),
        date(2026, 12, 1),
        date(2027, 1, 1),
    ]


def test_a_month_begins_when_it_does_in_utc() -> None:
    east = timezone(timedelta(hours=14))

    assert months_from(datetime(2026, 12, 1, 9, tzinfo=east), 1) == [date(2026, 11, 1)]


def test_the_statement_covers_the_month_and_not_a_moment_more() -> None:
    assert name_of(date(2026, 12, 1)) == "task_events_2026_12"
    assert create_month(date(2026, 12, 1)) == (
        "create table if not exists task_events_2026_12 partition of task_events"
        " for values from ('2026-12-01 00:00+00') to ('2027-01-01 00:00+00')"
    )


@given(st.dates(min_value=date(2000, 1, 1), max_value=date(2200, 12, 31)))
def test_the_month_after_begins_28_to_31_days_later(day: date) -> None:
    first = day.replace(day=1)

    after = month_after(first)

    assert after.day == 1
    assert 28 <= (after - first).days <= 31
