"""The one pool of a process: who may borrow, what comes back, what happens when PostgreSQL is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlmodel import select

from taskflow_cli.local.servers import EmbeddedPostgres
from taskflow_core.db.database import Database, is_connection_error
from taskflow_core.errors import Unavailable
from taskflow_core.ids import new_id
from taskflow_core.models import User
from taskflow_core.settings import DatabaseSettings
from tests.support.waiting import eventually

TOO_DEEP = "[" * 20_000 + "]" * 20_000


def settings_for(url: str, *, size: int = 1, wait_s: float = 0.2) -> DatabaseSettings:
    return DatabaseSettings(
        DATABASE_URL=SecretStr(url), TASKFLOW_DB_POOL_SIZE=size, TASKFLOW_DB_POOL_TIMEOUT_S=wait_s
    )


@pytest.fixture
async def one(database_url: str) -> AsyncIterator[Database]:
    """A database with one connection: who keeps it, starves the next."""
    async with Database.open(settings_for(database_url), application_name="one") as opened:
        yield opened


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"postgresql://postgres@/postgres?host={tmp_path}"
    async with Database.open(settings_for(url), application_name="away") as opened:
        yield opened


async def emails(database: Database) -> list[str]:
    return [email for (email,) in await database.fetch("select email from users order by email")]


def user(email: str) -> User:
    return User(email=email, name="n")


async def run(database: Database, sql: str, **parameters: object) -> None:
    """Run a statement in a session of its own."""
    async with database.session() as session:
        await (await session.connection()).execute(text(sql), parameters)


async def usable(database: Database) -> bool:
    return await database.fetch("select 1::int") == [(1,)]


# ---- who may borrow -------------------------------------------------------------------------------


async def test_a_session_and_a_plain_connection_share_the_pool(one: Database) -> None:
    ((pid,),) = await one.fetch("select pg_backend_pid()")

    async with one.session() as session:
        assert pid == await session.scalar(text("select pg_backend_pid()"))
    assert one.stats()["pool_size"] == 1


@pytest.mark.parametrize("holder", ["connection", "session"])
@pytest.mark.parametrize("asker", ["connection", "session"])
async def test_a_full_pool_is_unavailable_within_its_timeout(
    one: Database, holder: str, asker: str
) -> None:
    async def ask() -> None:
        async with getattr(one, asker)() as asked:
            if asker == "session":
                await asked.scalar(text("select 1"))

    async with getattr(one, holder)() as held:
        if holder == "session":
            await held.scalar(text("select 1"))
        began = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            await ask()
        waited = time.monotonic() - began

    assert 0.1 < waited < 1.5
    assert refused.value.headers["Retry-After"] == "1"
    await ask()


async def test_a_session_that_asks_nothing_borrows_nothing(one: Database) -> None:
    async with one.session():
        assert await usable(one)


async def test_the_pool_is_seen_in_its_numbers(one: Database) -> None:
    assert await usable(one)
    async with one.connection():
        stats = one.stats()

    assert (stats["pool_size"], stats["pool_available"]) == (1, 0)


# ---- units of work --------------------------------------------------------------------------------


async def test_a_session_commits_at_its_end(one: Database) -> None:
    async with one.session() as session:
        session.add(user("a@example.com"))

    assert await emails(one) == ["a@example.com"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_session_rolls_back_on_any_exception(
    one: Database, error: type[BaseException]
) -> None:
    async def fail_after_writing() -> None:
        async with one.session() as session:
            session.add(user("a@example.com"))
            await session.flush()
            raise error

    with pytest.raises(error):
        await fail_after_writing()

    assert await emails(one) == []


async def test_what_a_session_refuses_is_the_callers_to_see(one: Database) -> None:
    async def add(*wanted: str) -> None:
        async with one.session() as session:
            for email in wanted:
                session.add(user(email))
                await session.flush()

    await add("a@example.com")
    with pytest.raises(IntegrityError):
        await add("b@example.com", "A@EXAMPLE.com")

    assert await emails(one) == ["a@example.com"]


async def test_a_row_is_readable_after_its_session(one: Database) -> None:
    async with one.session() as session:
        kept = user("a@example.com")
        session.add(kept)

    assert kept.email == "a@example.com"


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_a_connection_comes_back_from_a_session_in_autocommit(
    one: Database, end: str
) -> None:
    statement = "select 1" if end == "commit" else "select 1 / 0"
    with suppress(DataError):
        await run(one, statement)

    async with one.connection() as connection:
        assert connection.autocommit
        assert connection.info.transaction_status == TransactionStatus.IDLE
        await connection.execute("select 1")
        assert connection.info.transaction_status == TransactionStatus.IDLE


async def test_a_plain_connection_writes_without_commit(one: Database) -> None:
    await one.fetch("insert into users (id, name, role) values ($1, 'n', 'user')", new_id())

    assert await one.fetch("select count(*) from users") == [(1,)]


# ---- nothing leaks --------------------------------------------------------------------------------


async def _slow_session(database: Database) -> None:
    await run(database, "select pg_sleep(30)")


async def _slow_connection(database: Database) -> None:
    await database.fetch("select pg_sleep(30)")


@pytest.mark.parametrize("work", [_slow_session, _slow_connection])
async def test_cancelling_work_gives_its_connection_back(database_url: str, work: object) -> None:
    assert callable(work)
    settings = settings_for(database_url, size=2, wait_s=3)
    async with Database.open(settings, application_name="cancelled") as database:
        for _ in range(3):
            tasks = [asyncio.ensure_future(work(database)) for _ in range(2)]
            await eventually(
                lambda: _sleeping(database_url), lambda n: n == 2, what="both statements run"
            )
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        assert await asyncio.gather(*(usable(database) for _ in range(4))) == [True] * 4
        await eventually(
            lambda: _sleeping(database_url), lambda n: n == 0, what="the statements end too"
        )
        stats = database.stats()
    assert stats["pool_size"] == stats["pool_available"] == 2


async def _sleeping(url: str) -> int:
    async with await psycopg.AsyncConnection.connect(url) as watcher:
        cursor = await watcher.execute(
            "select count(*) from pg_stat_activity where application_name = 'cancelled'"
            " and state = 'active'"
        )
        ((count,),) = await cursor.fetchall()
    return int(count)


async def test_waiting_for_a_connection_can_be_cancelled(database_url: str) -> None:
    settings = settings_for(database_url, size=1, wait_s=30)
    async with Database.open(settings, application_name="waits") as database:
        async with database.connection():
            waiter = asyncio.ensure_future(usable(database))

            async def waiting() -> int:
                return database.stats().get("requests_waiting", 0)

            await eventually(waiting, lambda n: n == 1)
            waiter.cancel()
            await asyncio.gather(waiter, return_exceptions=True)

        assert await usable(database)


@pytest.mark.parametrize("statement", ["select 1 / 0", "select * from nowhere"])
async def test_a_failed_statement_gives_its_connection_back(one: Database, statement: str) -> None:
    for _ in range(3):
        with pytest.raises(psycopg.Error):
            await one.fetch(statement)

    assert await usable(one)


# ---- PostgreSQL is away ---------------------------------------------------------------------------


async def test_a_process_starts_while_postgresql_is_away(away: Database) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable):
        await away.fetch("select 1")
    with pytest.raises(Unavailable):
        async with away.session() as session:
            await session.scalar(text("select 1"))

    assert time.monotonic() - began < 2
    assert away.stats()["pool_available"] == 0


async def test_no_word_of_the_driver_reaches_the_client(away: Database) -> None:
    with pytest.raises(Unavailable) as refused:
        await away.fetch("select 1")

    assert refused.value.problem()["detail"] == (
        "The database cannot be reached. Try again shortly."
    )
    assert isinstance(refused.value.__cause__, PoolTimeout)


@pytest.mark.parametrize("how", ["statement", "session"])
async def test_a_backend_killed_during_a_statement_is_an_outage(one: Database, how: str) -> None:
    suicide = "select pg_terminate_backend(pg_backend_pid()), pg_sleep(5)"

    with pytest.raises(Unavailable):
        await (one.fetch(suicide) if how == "statement" else run(one, suicide))

    await eventually(lambda: _usable_now(one), bool, what="a new connection")
    assert one.stats()["pool_size"] == 1, "one place, neither lost nor doubled"


async def _usable_now(database: Database) -> bool:
    try:
        return await usable(database)
    except Unavailable:
        return False


async def test_idle_connections_that_the_server_closed_fail_nobody(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    await asyncio.gather(*(usable(database) for _ in range(8)))
    postgres.psql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name = 'test' and pid <> pg_backend_pid()"
    )

    async def closed() -> int:
        rows = postgres.psql(
            "select count(*) from pg_stat_activity where application_name = 'test'"
        )
        return int(rows)

    await eventually(closed, lambda n: n == 0)
    assert await asyncio.gather(*(usable(database) for _ in range(8))) == [True] * 8


async def test_a_restart_of_postgresql_is_survived(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "data", settings={"fsync": "off"}) as server:
        settings = settings_for(server.url(), size=2, wait_s=0.5)
        async with Database.open(settings, application_name="restart") as database:
            await eventually(lambda: _usable_now(database), bool)
            server.stop()

            with pytest.raises(Unavailable):
                await database.fetch("select 1")

            server.start()
            await eventually(lambda: _usable_now(database), bool, within_s=15)


async def test_a_statement_that_runs_too_long_is_ended(database_url: str) -> None:
    settings = settings_for(database_url).model_copy(update={"statement_timeout_s": 0.1})
    async with Database.open(settings, application_name="slow") as database:
        with pytest.raises(Unavailable) as ended:
            await database.fetch("select pg_sleep(10)")

        assert isinstance(ended.value.__cause__, psycopg.errors.QueryCanceled)
        assert await usable(database)


@pytest.mark.parametrize("how", ["statement", "session"])
async def test_what_can_never_succeed_is_no_outage(one: Database, how: str) -> None:
    """JSON nested too deeply is an `OperationalError` to psycopg: a 503 would be repeated for ever."""
    asked = (
        one.fetch("select $1::text::jsonb", TOO_DEEP)
        if how == "statement"
        else run(one, "select cast(:deep as jsonb)", deep=TOO_DEEP)
    )
    with pytest.raises((psycopg.Error, DBAPIError)) as refused:
        await asked

    cause = getattr(refused.value, "orig", refused.value)
    assert isinstance(cause, psycopg.errors.StatementTooComplex)
    assert not is_connection_error(refused.value)
    assert await usable(one)


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (psycopg.OperationalError("gone"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.InterfaceError("closed"), True),
        (PoolTimeout(), True),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.InvalidTextRepresentation(), False),
        (psycopg.errors.StatementTooComplex(), False),
        (IntegrityError("insert", None, psycopg.errors.UniqueViolation()), False),
        (IntegrityError("insert", None, psycopg.OperationalError("gone")), True),
        (ValueError(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_outage_is_told_from_a_bad_statement(error: Exception, away: bool) -> None:  # noqa: FBT001 - a case
    assert is_connection_error(error) == away


async def test_the_server_knows_whose_connections_they_are(one: Database) -> None:
    rows = await one.fetch("select current_setting('application_name')")

    assert rows == [("one",)]


async def test_moments_come_back_in_utc_whatever_the_servers_zone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set timezone = 'Asia/Kolkata'").format(name))

    async with Database.open(settings_for(database_url), application_name="utc") as opened:
        ((moment,),) = await opened.fetch("select timestamptz '2030-01-31 12:00:00+05:30'")

    assert moment.isoformat() == "2030-01-31T06:30:00+00:00"


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """Let a server accept everything and answer nothing."""
    assert server.process is not None
    postmaster = psutil.Process(server.process.pid)
    stopped = [postmaster, *postmaster.children(recursive=True)]
    for process in stopped:
        process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.parametrize("way", ["statement", "session"])
async def test_a_frozen_server_holds_nobody_and_no_connection(tmp_path: Path, way: str) -> None:
    with EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off"}) as server:
        settings = DatabaseSettings(
            DATABASE_URL=SecretStr(server.url()),
            TASKFLOW_DB_POOL_SIZE=2,
            TASKFLOW_DB_STATEMENT_TIMEOUT_S=0.2,
        )

        async def ask() -> object:
            if way == "statement":
                return await database.fetch("select 1")
            async with database.session() as session:
                return await session.exec(select(1))

        async def asked() -> object:
            try:
                return await ask()
            except Unavailable as error:
                return error

        async with Database.open(settings, application_name="test") as database:
            await eventually(asked, lambda seen: not isinstance(seen, Unavailable))
            with frozen(server):
                began = time.monotonic()
                answers = await asyncio.gather(*(asked() for _ in range(4)))
                assert time.monotonic() - began < 5
                assert all(isinstance(answer, Unavailable) for answer in answers)

            await eventually(asked, lambda seen: not isinstance(seen, Unavailable))
