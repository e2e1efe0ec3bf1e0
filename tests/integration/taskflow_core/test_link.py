"""A link outlives its connection, and does not repeat what can never succeed."""

import asyncio

import psycopg
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from taskflow_core.db.link import FINAL_ERRORS, Link
from taskflow_core.settings import DatabaseSettings

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
