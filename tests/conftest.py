"""Real servers for every test: one PostgreSQL and one Valkey per test process.

Each test gets a database of its own, cloned from a migrated template, and an empty Valkey.
`TASKFLOW_TEST_POSTGRES_BIN` and `TASKFLOW_TEST_REDIS_SERVER` name other programs to test against;
with `TASKFLOW_TEST_NO_SKIPS` a skipped test is a failed one.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from redis import Redis as SyncRedis
from redis.asyncio import Redis

from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_core import migrations
from taskflow_core.db.database import Database
from taskflow_core.db.link import Link
from taskflow_core.redis import connect
from taskflow_core.settings import DatabaseSettings, RedisSettings

_FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
_TEMPLATE = "template_taskflow"
_numbers = itertools.count()


_NO_SKIPS = bool(os.environ.get("TASKFLOW_TEST_NO_SKIPS"))


def _unless_all_must_run[R: (pytest.TestReport, pytest.CollectReport)](report: R) -> R:
    if _NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, but everything must run here: {reason}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep temporary files of each run apart from every other run's.

    By default all runs of a user share `/tmp/pytest-of-<user>`, and each one that begins closes that
    folder to other users: also to the user as whom the PostgreSQL of a run of root is working.
    """
    if config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix="taskflow-tests-")
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let no test be skipped where everything must run (`.ci/run`): a skip is a failure there."""
    return _unless_all_must_run((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let no file be skipped either."""
    return _unless_all_must_run((yield))


def _path(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


def _run(postgres: EmbeddedPostgres, statement: str) -> None:
    """Run a statement on the server's own database: twice a test, so without starting a psql."""
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer's shell has set out of the tests."""
    for name in list(os.environ):
        if name.startswith("TASKFLOW_") or name in {"DATABASE_URL", "REDIS_URL"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    data = tmp_path_factory.mktemp("pg") / "data"
    with EmbeddedPostgres(
        data, bin_dir=_path("TASKFLOW_TEST_POSTGRES_BIN"), settings=_FAST
    ) as server:
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    data = tmp_path_factory.mktemp("valkey") / "data"
    with EmbeddedValkey(data, program=_path("TASKFLOW_TEST_REDIS_SERVER")) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    postgres.psql(f"create database {_TEMPLATE}")
    migrations.upgrade(postgres.url(_TEMPLATE))
    return _TEMPLATE


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a migrated database that only this test uses."""
    name = f"test_{next(_numbers)}"
    _run(postgres, f"create database {name} template {template}")
    yield postgres.url(name)
    _run(postgres, f"drop database {name} with (force)")


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a database without any table."""
    name = f"test_{next(_numbers)}"
    _run(postgres, f"create database {name}")
    yield postgres.url(name)
    _run(postgres, f"drop database {name} with (force)")


@pytest.fixture
def redis_url(valkey: EmbeddedValkey) -> str:
    """The URL of an empty Valkey."""
    with SyncRedis.from_url(valkey.url) as client:
        client.flushall()
        client.script_flush()
    return valkey.url


@pytest.fixture
def database_settings(database_url: str) -> DatabaseSettings:
    return DatabaseSettings(DATABASE_URL=SecretStr(database_url), TASKFLOW_DB_POOL_SIZE=4)


@pytest.fixture
def redis_settings(redis_url: str) -> RedisSettings:
    return RedisSettings(REDIS_URL=SecretStr(redis_url))


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    async with Database.open(database_settings, application_name="test") as opened:
        yield opened


@pytest.fixture
async def link(database_settings: DatabaseSettings) -> AsyncIterator[Link]:
    opened = Link(database_settings, application_name="test")
    yield opened
    await opened.close()


@pytest.fixture
async def redis(redis_settings: RedisSettings) -> AsyncIterator[Redis]:
    client = connect(redis_settings, blocking_s=1.0)
    yield client
    await client.aclose()
