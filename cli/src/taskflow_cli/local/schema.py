"""The database of a local TaskFlow: there, and at the newest revision.

The usual start finds nothing to do. It must not pay for importing Alembic and all models (a second), so
what is newest is read off the names of the revisions, which begin with their number.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import psycopg

import taskflow_core
from taskflow_cli.errors import CommandError

DATABASE = "taskflow"
_VERSIONS = Path(taskflow_core.__file__).parent / "migrations" / "versions"
_MIGRATE = "import os; from taskflow_core import migrations; migrations.upgrade(os.environ['URL'])"


def newest_revision() -> str:
    """Return the newest revision in the code, as `taskflow_core.migrations.head` does."""
    return max(path.stem.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))


def create_database(server_url: str) -> None:
    """Create our database on an embedded server, if it is not there."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        found = connection.execute(
            "select 1 from pg_database where datname = %s", (DATABASE,)
        ).fetchone()
        if found is None:
            connection.execute(f"create database {DATABASE}")


def current_revision(url: str) -> str | None:
    """Return the revision the database is at; None if it has no schema yet."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        try:
            row = connection.execute("select version_num from alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        return None if row is None else str(row[0])


async def migrate(url: str) -> str:
    """Bring the schema to the newest revision and return that. Raises `CommandError`."""
    newest = newest_revision()
    if await asyncio.to_thread(current_revision, url) == newest:
        return newest
    # in a process of its own, so that Ctrl-C is heard meanwhile: PostgreSQL rolls back what is cut off
    migration = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _MIGRATE),
        env=os.environ | {"URL": url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, complaint = await migration.communicate()
    except asyncio.CancelledError:
        migration.kill()
        await migration.wait()
        raise
    if migration.returncode:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise CommandError(
            f"The schema cannot be brought to revision {newest}: {''.join(last) or 'no reason given'}"
        )
    return newest
