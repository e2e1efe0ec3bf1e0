"""The statements of the queue protocol, one by one, on a real database."""

import json
from uuid import UUID

import psycopg
import pytest

from taskflow_core.db.database import Database
from taskflow_core.db.link import Link, array
from taskflow_core.queue import statements, upkeep
from tests.support.queue import claim, complete, create, events, open_session, row


async def test_a_task_is_created_waiting_with_its_first_event(
    database: Database, link: Link
) -> None:
    task = await create(database, payload={"n": 1}, priority=0)

    assert await row(
        link, task, "status, waiting, published_at is not null, payload, priority"
    ) == (
        "PENDING",
        True,
        True,
        {"n": 1},
        0,
    )
    assert await events(link, task) == ["created"]


async def test_a_persons_task_never_waits_for_a_worker(database: Database, link: Link) -> None:
    task = await create(database, handler=None)

    assert await row(link, task, "waiting, published_at") == (None, None)
    assert await claim(link, await open_session(link), task) == []


async def test_a_task_of_the_future_is_not_published_at_creation(
    database: Database, link: Link
) -> None:
    ((later,),) = await link.fetch("select now() + interval '1 hour'")
    task = await create(database, run_at=later)

    assert await row(link, task, "published_at") == (None,)
    assert await claim(link, await open_session(link), task) == []


async def test_of_two_claims_one_wins(database: Database, link: Link) -> None:
    task = await create(database)
    first, second = await open_session(link), await open_session(link)

    assert [(task, 1)] == await claim(link, first, task)
    assert await claim(link, second, task) == []
    assert await events(link, task) == ["created", "started"]


async def test_the_same_id_twice_in_a_claim_is_claimed_once(database: Database, link: Link) -> None:
    task = await create(database)

    assert [(task, 1)] == await claim(link, await open_session(link), task, task)


async def test_an_ended_session_claims_nothing(database: Database, link: Link) -> None:
    task = await create(database)
    session = await open_session(link)
    await link.fetch(statements.END_SESSION, session, "test")

    assert await claim(link, session, task) == []
    assert await link.fetch(statements.BEAT, session) == []


async def test_completion_is_fenced_by_attempt_and_session(database: Database, link: Link) -> None:
    task = await create(database)
    mine, other = await open_session(link), await open_session(link)
    await claim(link, mine, task)

    assert not await complete(link, other, task, 1)
    assert not await complete(link, mine, task, 2)
    assert await complete(link, mine, task, 1, body={"ok": True})
    assert not await complete(link, mine, task, 1), "a repeated completion changes nothing"
    assert await row(link, task, "status, result, worker, finished_at is not null") == (
        "COMPLETED",
        {"ok": True},
        None,
        True,
    )
    assert await events(link, task) == ["created", "started", "completed"]


async def test_a_retry_waits_for_its_pause(database: Database, link: Link) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)

    assert await complete(link, session, task, 1, "RETRY", pause_s=60, body={"reason": "Error"})

    assert await row(link, task, "status, waiting, run_at > now() + interval '50 s', error") == (
        "PENDING",
        True,
        True,
        {"reason": "Error"},
    )
    assert await claim(link, session, task) == []
    assert await events(link, task) == ["created", "started", "retried"]


async def test_a_task_handed_back_unstarted_keeps_its_attempts(
    database: Database, link: Link
) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)

    assert await complete(link, session, task, 1, "RETURN")

    assert await row(link, task, "status, attempt, error") == ("PENDING", 0, None)
    assert [(task, 1)] == await claim(link, session, task)


@pytest.mark.parametrize("outcome", ["RETRY", "RETURN"])
async def test_what_was_asked_to_stop_does_not_run_again(
    database: Database, link: Link, outcome: str
) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)
    await link.fetch("update tasks set cancel_requested_at = now()")

    assert await complete(link, session, task, 1, outcome)

    assert await row(link, task, "status, waiting") == ("CANCELLED", None)
    assert await events(link, task) == ["created", "started", "cancelled"]


async def test_what_an_ended_session_ran_goes_back(database: Database, link: Link) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)
    assert await link.fetch(upkeep.SWEEP) == [], "a live session keeps its tasks"
    await link.fetch(statements.END_SESSION, session, "test")

    assert await link.fetch(upkeep.SWEEP) == [("default", "PENDING", 1)]
    assert not await complete(link, session, task, 1), "the old attempt is refused"
    assert await events(link, task) == ["created", "started", "lease_lost"]
    assert [(task, 2)] == await claim(link, await open_session(link), task)


async def test_a_lost_worker_uses_up_an_attempt(database: Database, link: Link) -> None:
    task = await create(database, handler="once")
    session = await open_session(link)
    await claim(link, session, task)
    await link.fetch(statements.END_SESSION, session, "test")

    assert await link.fetch(upkeep.SWEEP) == [("default", "FAILED", 1)]
    ((error,),) = [await row(link, task, "error ->> 'reason'")]
    assert error == "WorkerLost"
    assert await events(link, task) == ["created", "started", "dead_lettered"]


async def test_a_session_that_nobody_knows_holds_nothing(database: Database, link: Link) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)
    await link.fetch("delete from worker_sessions")

    assert await link.fetch(upkeep.SWEEP) == [("default", "PENDING", 1)]


async def test_a_claim_whose_answer_was_lost_is_read_back(database: Database, link: Link) -> None:
    task, other = await create(database), await create(database)
    session = await open_session(link)
    await claim(link, session, task)

    rows = await link.fetch(statements.ADOPT, session, array([other, task]))

    assert [(row[0], row[1], row[3]) for row in rows] == [(2, 1, "echo")]
    assert [(task, 1, False)] == await link.fetch(statements.HELD, session)


async def test_progress_is_fenced_and_is_no_new_version(database: Database, link: Link) -> None:
    task = await create(database)
    session = await open_session(link)
    await claim(link, session, task)
    (version,) = await row(link, task, "version")

    for attempt, fraction in ((1, 0.5), (2, 0.9)):
        await link.fetch(
            statements.PROGRESS,
            session,
            array([task]),
            array([str(attempt)]),
            json.dumps([{"fraction": fraction}]),
        )

    assert ({"fraction": 0.5}, version) == await row(link, task, "progress, version")


async def test_the_database_refuses_states_that_cannot_be(database: Database, link: Link) -> None:
    task = await create(database)
    for change in ("status = 'COMPLETED'", "worker = 1", "waiting = null", "status = 'LOST'"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await link.fetch(f"update tasks set {change} where id = $1::uuid", UUID(task))
