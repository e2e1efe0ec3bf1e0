"""Leases on a real database: one holder at a time, by PostgreSQL's clock."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from taskflow_core.db.leases import LeaseHolder
from taskflow_core.db.link import Link
from taskflow_core.settings import DatabaseSettings
from tests.support.waiting import eventually

type Stand = Callable[..., LeaseHolder]


@pytest.fixture
async def stand(database_settings: DatabaseSettings) -> AsyncIterator[Stand]:
    """Make candidates, each with a connection of its own."""
    links = []

    def make(holder: str, *, ttl_s: float = 30.0, name: str = "duty") -> LeaseHolder:
        links.append(Link(database_settings, application_name=holder))
        return LeaseHolder(links[-1], name, holder, ttl_s=ttl_s)

    yield make
    for link in links:
        await link.close()


async def test_one_of_many_candidates_wins(stand: Stand) -> None:
    candidates = [stand(f"replica-{n}") for n in range(8)]

    won = await asyncio.gather(*(candidate.acquire() for candidate in candidates))

    assert sum(won) == 1
    assert [candidate.leads for candidate in candidates] == won


async def test_a_renewal_keeps_the_term_and_a_new_holder_begins_the_next(stand: Stand) -> None:
    first, second = stand("first"), stand("second")
    await first.acquire()
    await first.acquire()
    assert first.term == 1
    assert not await second.acquire()

    await first.release()

    assert await second.acquire()
    assert second.term == 2
    assert not await first.acquire()


async def test_a_lease_that_is_not_renewed_can_be_taken(stand: Stand) -> None:
    silent, other = stand("silent", ttl_s=0.3), stand("other")
    await silent.acquire()

    await eventually(other.acquire, bool, within_s=5)

    assert not silent.leads, "the holder knew it no later than the database"


async def test_a_process_that_starts_again_gets_its_own_lease_back_at_once(stand: Stand) -> None:
    await stand("replica-1").acquire()
    again = stand("replica-1")

    assert await again.acquire()
    assert again.term == 1


async def test_only_the_holder_can_release(stand: Stand) -> None:
    holder, other = stand("holder"), stand("other")
    await holder.acquire()
    await other.acquire()

    await other.release()

    assert not await other.acquire()


async def test_leases_of_other_names_are_other_leases(stand: Stand) -> None:
    assert await stand("one", name="a").acquire()
    assert await stand("other", name="b").acquire()
