"""A link outlives its connection, and does not repeat what can never succeed."""

import asyncio

import psycopg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from taskflow_core.db.link import FINAL_ERRORS, Link
from taskflow_core.settings import DatabaseSettings
from tests.support.waiting import eventually

_KILL = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'victim'"


async def test_a_killed_connection_is_replaced_and_the_caller_only_hears_of_it(
    database_settings: DatabaseSettings, link: Link
) -> None:
    victim = Link(database_settings, application_name="victim")
    await victim.fetch("select 1")
    losses: list[bool] = []
    await link.fetch(_KILL)

    with capture_logs() as logs:
        assert await victim.fetch("select 2", lost=lambda: losses.append(True)) == [(2,)]

    assert losses == [True], "the answer may have been lost, so the caller was told"
    assert [entry["event"] for entry in logs] == ["database.lost", "database.back"]
    await victim.close()


async def test_an_outage_is_one_line_in_the_log_however_long_it_lasts(
    database_settings: DatabaseSettings,
) -> None:
    nowhere = DatabaseSettings(DATABASE_URL=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    away = Link(nowhere, application_name="victim")

    with capture_logs() as logs, pytest.raises(TimeoutError):
        await asyncio.wait_for(away.fetch("select 1"), 1.0)

    assert [entry["event"] for entry in logs] == ["database.lost"]


async def test_json_nested_too_deeply_is_refused_and_not_repeated_for_ever(link: Link) -> None:
    deep = "[" * 100_000 + "]" * 100_000

    with pytest.raises(FINAL_ERRORS) as refused:
        await asyncio.wait_for(link.fetch("select $1::text::jsonb", deep), 5)

    assert isinstance(refused.value, psycopg.errors.StatementTooComplex)
    assert await link.fetch("select 1") == [(1,)], "the connection is still good"


async def test_a_cancelled_fetch_leaves_no_half_read_answer(
    database_settings: DatabaseSettings,
) -> None:
    cancelled = Link(database_settings, application_name="victim")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cancelled.fetch("select 1, pg_sleep(30)"), 0.3)

    assert await cancelled.fetch("select 2") == [(2,)]
    await cancelled.close()


async def test_a_statement_under_way_is_repeated_when_its_backend_is_killed(
    database_settings: DatabaseSettings, link: Link
) -> None:
    victim = Link(database_settings, application_name="victim")
    losses: list[bool] = []
    slow = asyncio.create_task(
        victim.fetch("select pg_sleep(0.5), 7", lost=lambda: losses.append(True))
    )
    await eventually(lambda: link.fetch(_KILL), bool, what="a victim to kill")

    ((_, seven),) = await asyncio.wait_for(slow, 10)

    assert seven == 7
    assert losses, "the caller was told that an answer was lost"
    await victim.close()


@pytest.mark.parametrize(
    ("sql", "parameters", "error"),
    [
        ("select 1 / $1::int", (0,), psycopg.DataError),
        ("select $1::text", ("\0",), psycopg.DataError),
        ("select $1::text", ("\ud800",), UnicodeEncodeError),
        ("select $1", (object(),), psycopg.ProgrammingError),
        ("select * from no_such_table", (), psycopg.ProgrammingError),
        ("insert into leases values (null)", (), psycopg.IntegrityError),
    ],
)
@pytest.mark.parametrize("method", ["fetch", "fetch_once"])
async def test_what_the_statement_did_wrong_is_raised_and_leaves_the_link_usable(
    link: Link, method: str, sql: str, parameters: tuple[object, ...], error: type[Exception]
) -> None:
    ((before,),) = await link.fetch("select pg_backend_pid()")

    with pytest.raises(error):
        await asyncio.wait_for(getattr(link, method)(sql, *parameters), 5)

    assert await link.fetch("select pg_backend_pid()") == [(before,)]


async def test_once_is_not_repeated_when_the_backend_was_killed(
    database_settings: DatabaseSettings, link: Link
) -> None:
    victim = Link(database_settings, application_name="victim")
    await victim.fetch_once("create table counted ()")
    await link.fetch(_KILL)

    with pytest.raises(psycopg.OperationalError):
        await victim.fetch_once("insert into counted default values")

    assert await victim.fetch_once("select count(*) from counted") == [(0,)], "a new connection"
    await victim.close()


async def test_once_raises_at_once_when_postgresql_is_away() -> None:
    nowhere = DatabaseSettings(DATABASE_URL=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    away = Link(nowhere, application_name="victim")

    with pytest.raises(psycopg.OperationalError):
        await asyncio.wait_for(away.fetch_once("select 1"), 5)


async def test_once_ends_in_time_and_leaves_no_half_read_answer(
    database_settings: DatabaseSettings, link: Link
) -> None:
    slow = Link(database_settings, application_name="victim")

    with pytest.raises(TimeoutError):
        await slow.fetch_once("select 1, pg_sleep(30)", within_s=0.2)

    assert await slow.fetch_once("select 2") == [(2,)]
    running = await link.fetch(
        "select query from pg_stat_activity where state = 'active' and query like '%pg_sleep%'"
        " and pid <> pg_backend_pid()"
    )
    assert running == [], "the server has stopped it too"
    await slow.close()


async def test_statements_of_one_link_wait_for_each_other(link: Link) -> None:
    first = asyncio.create_task(link.fetch("select pg_sleep(0.2), 1"))
    second = asyncio.create_task(link.fetch("select 2"))

    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)

    assert done == {first}
    assert await second == [(2,)]
