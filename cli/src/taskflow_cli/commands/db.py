"""`taskflow db`: the schema, how it differs, and what may go."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import psycopg
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError as AlembicError
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from taskflow_cli import retention
from taskflow_cli.commands import options as shared
from taskflow_cli.errors import BadInputError, CommandError
from taskflow_cli.local import state
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.screen import count
from taskflow_core import migrations
from taskflow_core.migrations.reflection import include
from taskflow_core.models import metadata
from taskflow_core.process import settings_or_exit
from taskflow_core.settings import DatabaseSettings

_AGE = re.compile(r"(\d{1,5})(d|h)")


@click.group(epilog="Example:  taskflow db check")
def db() -> None:
    """Look after the database: that of DATABASE_URL, or the one that `taskflow up` runs here."""


@db.command(epilog="Example:  DATABASE_URL=postgresql://… taskflow db migrate")
@shared.data
def migrate(data: Path) -> None:
    """Bring the schema to the newest revision; any number may try at once."""
    url = _url(data)
    with _errors_explained():
        before, head = migrations.current(url), migrations.head()
        migrations.upgrade(url)
    if before == head:
        click.echo(f"The schema is at {head}, the newest.")
    else:
        click.echo(f"The schema was brought from {before or 'nothing'} to {head}.")


@db.command(epilog="Example:  taskflow db check && echo in order")
@shared.data
def check(data: Path) -> None:
    """Compare the database with the code: its revision, then every table; exit code 1 on a difference."""
    url = _url(data)
    with _errors_explained():
        current, head = migrations.current(url), migrations.head()
        if current != head:
            raise CommandError(
                f"The schema is at {current or 'nothing'}, the newest is {head}: taskflow db migrate"
            )
        differences = list(_drift(url))
    for difference in differences:
        click.echo(difference)
    if differences:
        raise CommandError(
            f"The schema is at {head} but differs from the code in {len(differences)} things (above)."
        )
    click.echo(f"The schema is at {head}, the newest, and is what the code says.")


@db.command(epilog="Example:  taskflow db retain --older-than 90d --dry-run")
@shared.data
@click.option("--older-than", required=True, metavar="AGE", help="Such as 90d, or 36h.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and let it stay.")
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=1000,
    show_default=True,
    help="Tasks deleted in one transaction.",
)
def retain(*, data: Path, older_than: str, dry_run: bool, batch: int) -> None:
    """Drop the history and delete the finished tasks of more than AGE ago.

    Events go by whole months. Tasks that have not ended stay, however old; their events of such
    months go. May be stopped and repeated at any time.
    """
    before = datetime.now(UTC) - _age(older_than)
    with _errors_explained(), psycopg.connect(_url(data), autocommit=True) as connection:
        try:
            gone = retention.retain(connection, before, batch=batch, dry_run=dry_run)
        except retention.Busy as busy:
            raise CommandError(
                f"{busy} is in use and was not dropped, so that nobody waits for us; try again."
            ) from None
    verb = "Would go" if dry_run else "Gone"
    months = ", ".join(gone.partitions) or "none"
    click.echo(
        f"{verb}: {count(gone.tasks)} tasks that ended before {before:%Y-%m-%d %H:%M} UTC,"
        f" {count(gone.worker_sessions)} sessions of workers, {count(gone.stray_events)} stray events;"
        f" months of events: {months}."
    )


def _url(data: Path) -> str:
    if os.environ.get("DATABASE_URL"):
        (database,) = settings_or_exit(DatabaseSettings)
        return database.url.get_secret_value()
    running = state.running(DataDirectory.at(data).state)
    if running is None or running.database_url is None:
        raise BadInputError("Which database? Set DATABASE_URL, or start `taskflow up` first.")
    return running.database_url


@contextmanager
def _errors_explained() -> Iterator[None]:
    try:
        yield
    except (psycopg.OperationalError, OperationalError) as error:
        cause = error.orig if isinstance(error, OperationalError) else error
        reason = str(cause).strip().splitlines()[-1]
        raise CommandError(f"PostgreSQL cannot be reached: {reason}") from None
    except AlembicError as error:
        raise CommandError(f"The schema's history does not fit this code: {error}.") from None
    except psycopg.errors.UndefinedTable:
        raise CommandError("The database has no schema yet: taskflow db migrate") from None


def _drift(url: str) -> Iterator[str]:
    engine = create_engine(migrations.sqlalchemy_url(url))
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(
                connection, opts={"include_name": include, "compare_server_default": True}
            )
            for difference in compare_metadata(context, metadata):
                yield _described(difference)
    finally:
        engine.dispose()


def _described(difference: object) -> str:
    """Say what Alembic would do; several changes of one column come as a list."""
    if isinstance(difference, list):
        return "; ".join(_described(part) for part in difference)
    if isinstance(difference, tuple):
        what, *operands = difference
        named = [_named(operand) for operand in operands if operand is not None]
        return f"{str(what).replace('_', ' ')}: {' '.join(named)}"
    return str(difference)


def _named(operand: object) -> str:
    """Return the name of a table, column or index, with its table's; or what else it is."""
    name = getattr(operand, "name", None)
    table = getattr(getattr(operand, "table", None), "name", None)
    if not isinstance(name, str):
        return str(operand)
    return f"{table}.{name}" if table else name


def _age(text: str) -> timedelta:
    matched = _AGE.fullmatch(text)
    if matched is None:
        raise BadInputError(f"--older-than {text}: write days or hours, such as 90d or 36h.")
    number, unit = int(matched[1]), matched[2]
    return timedelta(days=number) if unit == "d" else timedelta(hours=number)
