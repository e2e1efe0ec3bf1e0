"""Creating tasks: all or none, what is written down, and payloads at the edges of JSON."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from taskflow_core.db.database import Database
from taskflow_core.ids import new_id
from taskflow_core.tasks.create import Created, NewTask, create_tasks
from taskflow_core.tasks.states import Priority

OWNER = new_id()


def new(**fields: Any) -> NewTask:
    return NewTask(**(dict[str, Any](id=new_id(), owner_id=OWNER, title="t") | fields))


async def create(database: Database, *tasks: NewTask, actor: str = "user:1") -> list[Created]:
    async with database.connection() as connection:
        return await create_tasks(connection, tasks, actor=actor)


async def stored(database: Database, task: NewTask, columns: str) -> tuple[Any, ...]:
    (row,) = await database.fetch(f"select {columns} from tasks where id = $1", task.id)
    return row


async def count(database: Database, table: str) -> int:
    ((rows,),) = await database.fetch(f"select count(*) from {table}")
    return int(rows)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


async def test_a_task_with_a_title_only_has_the_defaults_of_a_persons_task(
    database: Database,
) -> None:
    task = new()

    await create(database, task)

    assert await stored(
        database, task, "status, priority, flow, handler, waiting, published_at, attempt, version"
    ) == ("PENDING", Priority.MEDIUM, "default", None, None, None, 0, 1)


async def test_every_field_is_stored(database: Database) -> None:
    at = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=timezone(timedelta(hours=-3)))
    assignee = new_id()
    task = new(
        assignee_id=assignee,
        description="d",
        priority=Priority.LOW,
        due_at=at,
        flow="emails",
        handler="echo",
        payload={"n": 1},
        run_at=at,
        max_attempts=7,
        timeout_s=1.5,
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )

    await create(database, task)

    assert await stored(
        database,
        task,
        "owner_id, assignee_id, title, description, priority, due_at, flow, handler, payload, run_at,"
        " max_attempts, timeout_s, traceparent",
    ) == (
        *(OWNER, assignee, "t", "d", 2, at, "emails", "echo", {"n": 1}, at, 7, 1.5),
        task.traceparent,
    )


async def test_the_answer_says_what_postgresql_added(database: Database) -> None:
    now, later = new(handler="echo", publish=True), datetime.now(UTC) + timedelta(hours=1)
    scheduled, shy = new(handler="echo", publish=True, run_at=later), new(handler="echo")

    answers = {one.id: one for one in await create(database, now, scheduled, shy)}

    assert answers[now.id].published
    assert answers[now.id].run_at == answers[now.id].created_at
    assert not answers[scheduled.id].published, "it is not due"
    assert answers[scheduled.id].run_at == later
    assert not answers[shy.id].published, "the caller did not want it"
    assert answers[now.id].created_at.tzinfo is not None


async def test_each_task_has_one_event_with_who_and_which_trace(database: Database) -> None:
    tasks = [new(traceparent="trace-1"), new()]

    await create(database, *tasks, actor="user:7")

    events = await database.fetch("select task_id, type, actor, traceparent from task_events")
    assert sorted(events) == sorted(
        (task.id, "task.created", "user:7", task.traceparent) for task in tasks
    )


async def test_a_thousand_at_once_are_one_statement(database: Database) -> None:
    tasks = [new(title=f"t{n}", handler="echo", payload={"n": n}) for n in range(1_000)]

    answers = await create(database, *tasks)

    assert {one.id for one in answers} == {task.id for task in tasks}
    assert len({one.created_at for one in answers}) == 1
    assert (await count(database, "tasks"), await count(database, "task_events")) == (1_000, 1_000)
    assert await stored(database, tasks[999], "title, payload") == ("t999", {"n": 999})


async def test_none_is_created_when_one_cannot_be(database: Database) -> None:
    there = new()
    await create(database, there)

    with pytest.raises(psycopg.IntegrityError):
        await create(database, new(), there, new())

    assert (await count(database, "tasks"), await count(database, "task_events")) == (1, 1)


async def test_creating_nothing_is_fine(database: Database) -> None:
    assert await create(database) == []


@pytest.mark.parametrize(
    "payload",
    [
        None,
        True,
        0,
        "",
        'text with \u2028, \ufeff, é, 漢字, 👩‍🚀 and "quotes\\"',
        [],
        {},
        {"": {"": ""}},
        {"a": [1, {"b": [None, False]}]},
        2**63,
        -(2**70),
        10**400,
        0.1,
        -2.5e-7,
        {"key'; drop table tasks; --": "$1"},
        {"null": None},
        [1] * 10_000,
        "x" * 1_000_000,
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_a_payload_comes_back_as_it_was(database: Database, payload: Any) -> None:
    task = new(handler="echo", payload=payload)

    await create(database, task)

    assert await stored(database, task, "payload") == (payload,)


@pytest.mark.parametrize("number", [1.7976931348623157e308, 5e-324])
async def test_numbers_at_the_ends_of_a_double_keep_their_value(
    database: Database, number: float
) -> None:
    task = new(handler="echo", payload=number)

    await create(database, task)

    (back,) = await stored(database, task, "payload")
    assert float(back) == number


async def test_a_deeply_nested_payload_comes_back_as_it_was(database: Database) -> None:
    task = new(handler="echo", payload=nested(500))

    await create(database, task)

    ((text,),) = await database.fetch("select payload::text from tasks")
    assert text == "[" * 500 + "1" + "]" * 500


@pytest.mark.parametrize("where", ["title", "description", "payload"])
async def test_text_that_postgresql_cannot_hold_is_a_data_error(
    database: Database, where: str
) -> None:
    with pytest.raises(psycopg.DataError):
        await create(database, new(**{where: "a\x00b"}))

    assert await count(database, "tasks") == 0


async def test_half_a_character_never_reaches_postgresql(database: Database) -> None:
    with pytest.raises(UnicodeEncodeError):
        await create(database, new(payload="\ud800"))

    assert await count(database, "tasks") == 0


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_numbers_that_json_does_not_know_become_null(
    database: Database, number: float
) -> None:
    task = new(handler="echo", payload={"n": number})

    await create(database, task)

    assert await stored(database, task, "payload") == ({"n": None},)


async def test_a_failed_creation_leaves_the_connection_usable(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(psycopg.DataError):
            await create_tasks(connection, [new(title="\x00")], actor="x")

        assert len(await create_tasks(connection, [new()], actor="x")) == 1
