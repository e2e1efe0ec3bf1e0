"""What a holder believes about its lease, when the database is slow, away or taken by another."""

from typing import Any

import psycopg
import pytest

from taskflow_core.db.leases import LeaseHolder, LeaseLost


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Answers as told, after so many seconds of the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.answer: list[tuple[int]] | Exception = [(1,)]
        self.takes_s = 0.0
        self.asked: list[str] = []

    async def fetch_once(self, sql: str, *_: object, within_s: float) -> list[tuple[int]]:
        self.asked.append("release" if sql.startswith("update") else "acquire")
        self._clock.now += self.takes_s
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(clock: Clock) -> Database:
    return Database(clock)


@pytest.fixture
def lease(database: Any, clock: Clock) -> LeaseHolder:
    return LeaseHolder(database, "duty", "me", ttl_s=10.0, clock=clock)


def test_nobody_leads_before_asking(lease: LeaseHolder) -> None:
    assert not lease.leads
    with pytest.raises(LeaseLost, match="me does not hold the lease duty"):
        lease.require()


async def test_the_lease_counts_from_when_it_was_asked_for(
    lease: LeaseHolder, database: Database, clock: Clock
) -> None:
    database.takes_s = 4.0

    assert await lease.acquire()

    clock.now = 109.9
    lease.require()
    clock.now = 110.0
    assert not lease.leads


async def test_an_answer_that_comes_after_the_lease_ran_out_is_no_lease(
    lease: LeaseHolder, database: Database
) -> None:
    database.takes_s = 10.0

    assert not await lease.acquire()


async def test_a_failed_renewal_leaves_the_lease_until_it_runs_out(
    lease: LeaseHolder, database: Database, clock: Clock
) -> None:
    await lease.acquire()
    clock.now += 5
    database.answer = psycopg.OperationalError("gone")

    with pytest.raises(psycopg.OperationalError):
        await lease.acquire()

    assert lease.leads
    clock.now += 5
    assert not lease.leads


async def test_a_lease_that_another_took_is_lost_at_once(
    lease: LeaseHolder, database: Database
) -> None:
    await lease.acquire()
    database.answer = []

    assert not await lease.acquire()
    assert lease.term is None


async def test_a_released_lease_is_not_believed_in_whatever_the_database_says(
    lease: LeaseHolder, database: Database
) -> None:
    await lease.acquire()
    database.answer = TimeoutError()

    with pytest.raises(TimeoutError):
        await lease.release()

    assert not lease.leads


async def test_a_lease_is_released_although_the_answer_to_asking_was_lost(
    lease: LeaseHolder, database: Database
) -> None:
    database.answer = psycopg.OperationalError("gone")
    with pytest.raises(psycopg.OperationalError):
        await lease.acquire()
    database.answer = []

    await lease.release()

    assert database.asked == ["acquire", "release"]


async def test_who_never_asked_has_nothing_to_release(
    lease: LeaseHolder, database: Database
) -> None:
    await lease.release()

    assert database.asked == []
