"""The models on a real database: defaults, constraints, and what a printed row gives away."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, select

from taskflow_core.db.database import Database
from taskflow_core.ids import new_id
from taskflow_core.models import (
    IdempotencyKey,
    Lease,
    RefreshToken,
    Role,
    SecurityEvent,
    Session,
    Task,
    TaskEvent,
    User,
    WorkerSession,
    metadata,
)
from taskflow_core.models.sessions import SecurityEventType
from taskflow_core.tasks.states import EventType, Priority, TaskStatus

SOON = datetime(2031, 1, 1, tzinfo=UTC)


async def add(database: Database, *rows: SQLModel) -> None:
    async with database.session() as session:
        for row in rows:
            session.add(row)
            await session.flush()


async def only[M: SQLModel](database: Database, model: type[M]) -> M:
    async with database.session() as session:
        return (await session.exec(select(model))).one()


def user(email: str | None = "ada@example.com", **fields: Any) -> User:
    return User(email=email, name="Ada", **fields)


def session_of(owner: User) -> Session:
    return Session(user_id=owner.id, expires_at=SOON)


def token_of(session: Session, digest: bytes = b"1") -> RefreshToken:
    return RefreshToken(session_id=session.id, token_sha256=digest, salt=b"s", expires_at=SOON)


async def test_a_user_is_active_and_of_the_least_role_by_default(database: Database) -> None:
    await add(database, user())

    stored = await only(database, User)

    assert (stored.role, stored.active, stored.version) == (Role.USER, True, 1)
    assert stored.created_at.tzinfo is not None
    assert stored.created_at == stored.updated_at
    assert stored.id.version == 7


async def test_one_mailbox_is_one_user_however_it_is_written(database: Database) -> None:
    await add(database, user())

    with pytest.raises(IntegrityError, match="uq_users_email"):
        await add(database, user("ADA@Example.COM"))


async def test_deleted_users_keep_their_rows_and_free_their_mailbox(database: Database) -> None:
    gone = [user(None, deleted_at=SOON), user(None, deleted_at=SOON)]

    await add(database, *gone, user())

    assert await database.fetch("select count(*) from users where email is null") == [(2,)]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (User, {"email": "a@b.c", "name": "n", "role": "owner"}),
        (Task, {"title": "t", "status": "LOST"}),
        (Task, {"title": "t", "priority": 3}),
        (Task, {"title": "t", "handler": "echo", "waiting": None}),
        (Task, {"title": "t", "waiting": True}),
        (Task, {"title": "t", "worker": 1}),
        (Task, {"title": None}),
    ],
    ids=["role", "status", "priority", "not-waiting", "waiting", "worker", "title"],
)
async def test_what_a_table_model_does_not_validate_the_database_refuses(
    database: Database, model: type[SQLModel], fields: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError):
        await add(database, model(owner_id=new_id(), **fields))


async def test_times_keep_their_moment_whatever_their_zone(database: Database) -> None:
    moment = datetime(2031, 2, 3, 4, 5, 6, 789012, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    await add(database, Task(owner_id=new_id(), title="t", due_at=moment))

    assert (await only(database, Task)).due_at == moment


@pytest.mark.parametrize("table", sorted(metadata.tables))
async def test_every_time_is_stored_with_its_zone(database: Database, table: str) -> None:
    naive = await database.fetch(
        "select column_name from information_schema.columns where table_name = $1::text"
        " and data_type in ('timestamp without time zone', 'date', 'time without time zone')",
        table,
    )

    assert naive == []


async def test_a_task_of_a_person_waits_for_nobody(database: Database) -> None:
    await add(database, Task(owner_id=new_id(), title="t"))

    task = await only(database, Task)

    assert (task.status, task.priority, task.flow) == (
        TaskStatus.PENDING,
        Priority.MEDIUM,
        "default",
    )
    assert (task.handler, task.waiting, task.worker, task.payload) == (None, None, None, None)


async def test_no_payload_is_null_and_not_json_null(database: Database) -> None:
    await add(database, Task(owner_id=new_id(), title="t", payload=None))

    assert await database.fetch("select payload is null from tasks") == [(True,)]


async def test_a_session_takes_its_tokens_with_it(database: Database) -> None:
    owner = user()
    login = session_of(owner)
    await add(database, owner, login, token_of(login, b"1"), token_of(login, b"2"))

    await database.fetch("delete from sessions where id = $1", login.id)

    assert await database.fetch("select count(*) from refresh_tokens") == [(0,)]


async def test_no_two_refresh_tokens_are_the_same(database: Database) -> None:
    owner = user()
    login = session_of(owner)

    with pytest.raises(IntegrityError, match="uq_refresh_tokens_token_sha256"):
        await add(database, owner, login, token_of(login), token_of(login))


def test_no_secret_shows_in_a_printed_row() -> None:
    owner = user(password_hash="hunter2")
    token = token_of(session_of(owner), b"hunter2")
    token.salt = b"hunter3"

    assert "hunter" not in f"{owner!r} {token!r} {owner} {token}"


async def test_events_are_numbered_and_know_their_transaction(database: Database) -> None:
    task = new_id()
    await add(
        database,
        TaskEvent(task_id=task, type=EventType.CREATED),
        TaskEvent(task_id=task, type=EventType.STARTED, data={"n": 1}),
    )

    rows = await database.fetch(
        "select type, data, txid < pg_snapshot_xmin(pg_current_snapshot())"
        " from task_events order by id"
    )

    assert rows == [("task.created", None, True), ("task.started", {"n": 1}, True)]
    assert await database.fetch("select count(distinct txid) from task_events") == [(1,)]


async def test_an_event_of_any_time_finds_a_partition(database: Database) -> None:
    for year in (1999, 2026, 2999):
        await add(
            database,
            TaskEvent(
                task_id=new_id(), type=EventType.CREATED, at=datetime(year, 6, 1, tzinfo=UTC)
            ),
        )

    assert await database.fetch("select count(*) from task_events") == [(3,)]


async def test_an_idempotency_key_belongs_to_its_owner(database: Database) -> None:
    def key(owner: UUID) -> IdempotencyKey:
        return IdempotencyKey(owner_id=owner, key="k", fingerprint=b"f", expires_at=SOON)

    first, second = new_id(), new_id()
    await add(database, key(first), key(second))

    with pytest.raises(IntegrityError, match="pk_idempotency_keys"):
        await add(database, key(first))


async def test_the_audit_keeps_what_happened_before_there_was_a_user(database: Database) -> None:
    await add(database, SecurityEvent(type=SecurityEventType.LOGIN_FAILED, ip_hash="h"))

    event = await only(database, SecurityEvent)

    assert (event.id, event.user_id, event.data) == (1, None, None)


async def test_a_user_with_audited_deeds_cannot_be_deleted_physically(database: Database) -> None:
    owner = user()
    await add(database, owner, SecurityEvent(type=SecurityEventType.REGISTERED, user_id=owner.id))

    async with database.session() as session:
        connection = await session.connection()
        with pytest.raises(IntegrityError, match="fk_security_events_user_id_users"):
            await connection.execute(text("delete from users"))
        await session.rollback()


async def test_workers_and_leases_have_their_defaults(database: Database) -> None:
    await add(
        database,
        WorkerSession(flow="default", replica="r"),
        Lease(name="dispatcher", holder="a", expires_at=SOON),
    )

    worker, lease = await only(database, WorkerSession), await only(database, Lease)

    assert worker.started_at == worker.heartbeat_at
    assert (worker.ended_at, lease.term) == (None, 1)
