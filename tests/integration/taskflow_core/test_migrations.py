"""The schema's history: complete, reversible, and safe with two migrators at once."""

import subprocess
import sys

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from taskflow_core import migrations
from taskflow_core.migrations.reflection import include
from taskflow_core.models import metadata


def _tables(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        return {name for (name,) in rows}


def test_models_and_migrations_agree(database_url: str) -> None:
    engine = create_engine(migrations.sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": include, "compare_server_default": True}
        )

        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_down_and_up_again(empty_database_url: str) -> None:
    migrations.upgrade(empty_database_url)
    after_up = _tables(empty_database_url)

    migrations.downgrade(empty_database_url, "base")

    assert {"alembic_version"} == _tables(empty_database_url)
    migrations.upgrade(empty_database_url)
    assert after_up == _tables(empty_database_url)
    command.check(migrations.config(empty_database_url))


def test_current_and_head_tell_what_is_missing(empty_database_url: str) -> None:
    assert migrations.current(empty_database_url) is None

    migrations.upgrade(empty_database_url)

    assert migrations.current(empty_database_url) == migrations.head()


def test_two_migrators_at_once_take_turns(empty_database_url: str) -> None:
    migrate = "import sys; from taskflow_core import migrations; migrations.upgrade(sys.argv[1])"
    migrators = [
        subprocess.Popen([sys.executable, "-c", migrate, empty_database_url]) for _ in range(2)
    ]

    assert [migrator.wait(60) for migrator in migrators] == [0, 0]
    assert migrations.current(empty_database_url) == migrations.head()
