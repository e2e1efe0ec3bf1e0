"""Creating tasks: what is durable, what is announced, and what a repeated request does."""

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from redis.asyncio import Redis

from taskflow_api.tasks import idempotency, statements
from taskflow_api.tasks.creating import create_task
from taskflow_api.tasks.errors import AssigneeRefused, IdempotencyKeyReused
from taskflow_api.tasks.idempotency import Answer
from taskflow_api.tasks.publication import Publisher
from taskflow_api.tasks.reading import task_by_id
from taskflow_api.tasks.rows import encode
from taskflow_api.tasks.schemas import TaskCreate, TaskRead
from taskflow_core.db.database import Database, Row, fetch
from taskflow_core.errors import Conflict, Unavailable, ValidationFailed
from taskflow_core.ids import new_id
from taskflow_core.queue.window import WINDOW_MAX, Entry, Window
from taskflow_core.tasks.create import NewTask, create_tasks
from taskflow_core.telemetry.metrics import ApiMetrics
from tests.integration.taskflow_api.tasks.factory import OWNER, STRANGER, events, user
from tests.support.waiting import eventually

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def publisher(redis: Redis) -> Publisher:
    return Publisher(redis, ApiMetrics(CollectorRegistry()))


async def create(
    database: Database,
    publisher: Publisher,
    *,
    key: str | None = None,
    viewer: Any = OWNER,
    traceparent: str | None = None,
    **fields: Any,
) -> tuple[Answer, bool]:
    body = TaskCreate.model_validate({"title": "t"} | fields)
    return await create_task(database, publisher, viewer, body, key=key, traceparent=traceparent)


def id_of(answer: Answer) -> UUID:
    return TaskRead.model_validate_json(answer.body).id


async def count(database: Database, table: str = "tasks") -> int:
    ((rows,),) = await database.fetch(f"select count(*) from {table}")
    return int(rows)


# ---- the task -------------------------------------------------------------------------------------


async def test_the_answer_is_what_a_read_would_show(
    database: Database, publisher: Publisher
) -> None:
    ada = await user(database)
    variants: list[dict[str, Any]] = [
        {},
        {
            "description": "two\nlines",
            "priority": "LOW",
            "due_at": "2030-01-01T00:00:00.123456+01:00",
            "assignee_id": str(ada),
            "flow": "emails",
            "handler": "emails.send",
            "payload": {"to": ["ü", None, 1.5, True], "": {}},
            "run_at": "2020-01-01T00:00:00Z",
            "max_attempts": 7,
            "timeout_s": 2.5,
        },
    ]
    for fields in variants:
        answer, replayed = await create(database, publisher, **fields)

        read = encode(await task_by_id(database, OWNER, id_of(answer)))
        assert TaskRead.model_validate_json(answer.body) == TaskRead.model_validate_json(read)
        assert answer.status == 201
        assert answer.headers == {
            "Location": f"/api/v1/tasks/{id_of(answer)}",
            "ETag": '"1"',
        }
        assert not replayed


async def test_a_trace_goes_with_the_task_and_its_events(
    database: Database, publisher: Publisher
) -> None:
    answer, _ = await create(database, publisher, traceparent=TRACE)

    for table, column in (("tasks", "id"), ("task_events", "task_id")):
        rows = await database.fetch(
            f"select traceparent from {table} where {column} = $1", id_of(answer)
        )
        assert rows == [(TRACE,)]


async def test_an_executable_task_is_published(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    answer, _ = await create(database, publisher, handler="echo", priority="HIGH")

    assert await Window(redis).task_ids("default") == {str(id_of(answer))}
    assert await database.fetch("select published_at is not null from tasks") == [(True,)]


async def test_a_persons_task_is_never_pushed(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    await create(database, publisher)

    assert await redis.keys("*") == []
    assert await database.fetch("select published_at, waiting from tasks") == [(None, None)]


async def test_a_task_of_the_future_is_left_to_the_dispatcher(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    await create(database, publisher, handler="echo", run_at="2040-01-01T00:00:00Z")

    assert await redis.keys("*") == []
    assert await database.fetch("select published_at from tasks") == [(None,)]


async def test_a_task_that_finds_a_full_window_waits_in_the_database(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    await Window(redis).publish("default", [Entry(new_id(), 1) for _ in range(WINDOW_MAX)])
    await publisher.announce("default", arrivals=1)

    await create(database, publisher, handler="echo")

    assert await Window(redis).length("default") == WINDOW_MAX
    assert await database.fetch("select published_at, waiting from tasks") == [(None, True)]


@pytest.mark.parametrize("name", ["payload", "run_at", "max_attempts", "timeout_s"])
async def test_a_persons_task_takes_nothing_that_is_for_workers(
    database: Database, publisher: Publisher, name: str
) -> None:
    values: dict[str, Any] = {
        "payload": 0,
        "run_at": "2030-01-01T00:00:00Z",
        "max_attempts": 1,
        "timeout_s": 1,
    }

    with pytest.raises(ValidationFailed) as refused:
        await create(database, publisher, **{name: values[name]})

    assert [error.pointer for error in refused.value.errors] == [f"/{name}"]
    assert await count(database) == 0


async def test_an_assignee_must_be_an_active_user(database: Database, publisher: Publisher) -> None:
    for nobody in (new_id(), await user(database, active=False)):
        for key in (None, "k"):
            with pytest.raises(AssigneeRefused):
                await create(database, publisher, key=key, assignee_id=nobody)
    assert (await count(database), await count(database, "idempotency_keys")) == (0, 0)


async def test_two_hundred_creates_at_once_all_succeed_on_four_connections(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    answers = await asyncio.gather(
        *(
            create(database, publisher, handler="echo", key=f"k{n}" if n % 2 else None)
            for n in range(200)
        )
    )

    ids = {str(id_of(answer)) for answer, _ in answers}
    assert len(ids) == 200
    assert await count(database) == 200
    assert await Window(redis).task_ids("default") == ids


# ---- repeated requests ----------------------------------------------------------------------------


async def test_a_repeated_request_gets_the_same_answer_and_does_nothing(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    first, replayed_first = await create(database, publisher, key="k", handler="echo")
    again, replayed = await create(database, publisher, key="k", handler="echo")

    assert again == first
    assert (replayed_first, replayed) == (False, True)
    assert await count(database) == 1
    assert await events(database, id_of(first)) == [("created", None)]
    assert await Window(redis).length("default") == 1


async def test_the_same_request_may_be_written_differently(
    database: Database, publisher: Publisher
) -> None:
    one: dict[str, Any] = {
        "handler": "echo",
        "payload": {"a": 1, "b": 2},
        "run_at": "2030-01-01T01:00:00+01:00",
    }
    two = one | {
        "payload": {"b": 2, "a": 1},
        "run_at": "2030-01-01T00:00:00Z",
        "priority": "MEDIUM",
    }

    await create(database, publisher, key="k", **one)
    _, replayed = await create(database, publisher, key="k", **two)

    assert replayed


async def test_a_key_is_refused_for_another_request(
    database: Database, publisher: Publisher
) -> None:
    await create(database, publisher, key="k")

    with pytest.raises(IdempotencyKeyReused) as refused:
        await create(database, publisher, key="k", description="another")

    assert [error.pointer for error in refused.value.errors] == ["/header/Idempotency-Key"]
    assert await count(database) == 1


async def test_keys_of_two_people_have_nothing_to_do_with_each_other(
    database: Database, publisher: Publisher
) -> None:
    await create(database, publisher, key="k")

    _, replayed = await create(database, publisher, key="k", viewer=STRANGER, title="other")

    assert not replayed


async def test_a_key_is_free_again_after_a_day(database: Database, publisher: Publisher) -> None:
    await create(database, publisher, key="k")
    ((hours,),) = await database.fetch(
        "select extract(epoch from expires_at - created_at)::int / 3600 from idempotency_keys"
    )
    assert hours == 24
    await database.fetch("update idempotency_keys set expires_at = now()")

    answer, replayed = await create(database, publisher, key="k", title="another")

    assert not replayed
    assert (await create(database, publisher, key="k", title="another")) == (answer, True)


async def test_of_many_concurrent_requests_with_one_key_one_is_done(
    database: Database, publisher: Publisher, redis: Redis
) -> None:
    results = await asyncio.gather(
        *(create(database, publisher, key="k", handler="echo") for _ in range(20))
    )

    assert len({answer.body for answer, _ in results}) == 1
    assert [replayed for _, replayed in results].count(False) == 1
    assert await count(database) == 1
    assert await Window(redis).length("default") == 1


async def test_a_request_that_waits_for_one_that_fails_is_done_itself(
    database: Database, publisher: Publisher
) -> None:
    """The first holds the key and dies; the second takes over."""
    request = idempotency.Request(OWNER.id, "k", b"other")
    taken = asyncio.Event()

    async def waiters() -> int:
        rows = await database.fetch(
            "select true from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
        )
        return len(rows)

    async def die() -> Answer:
        taken.set()
        await eventually(waiters, bool, what="a second request at the key")
        raise RuntimeError("crash")

    async def first() -> None:
        async with database.connection() as connection:
            await idempotency.once(connection, request, die)

    async def second() -> tuple[Answer, bool]:
        await taken.wait()
        return await create(database, publisher, key="k")

    crashed, (_, replayed) = await asyncio.gather(first(), second(), return_exceptions=True)  # type: ignore[misc] # the second one's exception would fail the unpacking, as it should

    assert isinstance(crashed, RuntimeError)
    assert not replayed
    assert await count(database) == 1


@pytest.mark.parametrize("how", ["exception", "killed backend"])
async def test_a_crash_before_the_end_leaves_neither_task_nor_key(
    database: Database, how: str
) -> None:
    request = idempotency.Request(OWNER.id, "k", b"f")

    async def work(connection: AsyncConnection[Row]) -> Answer:
        task = NewTask(id=new_id(), owner_id=OWNER.id, title="t")
        await create_tasks(connection, [task], actor="test")
        if how == "exception":
            raise RuntimeError("crash")
        await fetch(connection, "select pg_terminate_backend(pg_backend_pid())")
        raise AssertionError("the backend lives")

    with pytest.raises((RuntimeError, Unavailable, psycopg.OperationalError)):
        async with database.connection() as connection:
            await idempotency.once(connection, request, lambda: work(connection))

    assert (await count(database), await count(database, "task_events")) == (0, 0)
    assert await count(database, "idempotency_keys") == 0


async def test_a_key_that_vanishes_while_it_is_read_is_taken_again(
    database: Database, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(database, publisher, key="k")
    # the sweeper, always between the two statements
    swept = statements.STORED_ANSWER + " and false"
    monkeypatch.setattr(statements, "STORED_ANSWER", swept)

    with pytest.raises(Conflict, match="shortly"):
        await create(database, publisher, key="k")

    await database.fetch("delete from idempotency_keys")
    _, replayed = await create(database, publisher, key="k")
    assert not replayed


@pytest.mark.parametrize("key", ["", "a" * 256, "tab\there", "nul\x00", "ü", "\ud800", "a\nb"])
async def test_a_key_must_be_short_printable_ascii(
    database: Database, publisher: Publisher, key: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await create(database, publisher, key=key)

    assert [error.pointer for error in refused.value.errors] == ["/header/Idempotency-Key"]
    assert await count(database) == 0


async def test_a_key_of_full_length_is_good(database: Database, publisher: Publisher) -> None:
    _, replayed = await create(database, publisher, key="~ " + "a" * 253)

    assert not replayed
