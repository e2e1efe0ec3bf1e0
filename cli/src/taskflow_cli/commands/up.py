"""`taskflow up`: everything on this machine, in the foreground or behind it."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote

import click

from taskflow_cli.commands import options as shared
from taskflow_cli.errors import CommandError, report
from taskflow_cli.local import background, state
from taskflow_cli.local.data import DEFAULT, DataDirectory, InUseError
from taskflow_cli.local.leftovers import end_leftovers
from taskflow_cli.local.ports import free_port
from taskflow_cli.local.running import run
from taskflow_cli.local.stack import Options
from taskflow_core.process import settings_or_exit
from taskflow_core.settings import AuthSettings, DatabaseSettings, HttpSettings, RedisSettings


class _WithVariables(click.Command):
    """A command whose help lists the environment variables that its processes read."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from taskflow_cli import documents  # noqa: PLC0415 - for this page only

        super().format_epilog(ctx, formatter)
        with formatter.section("Environment (docs/configuration.md says what each is for)"):
            formatter.write_dl(documents.variables())


@click.command(
    cls=_WithVariables,
    epilog="Example:  taskflow up --port 8080 --workers 4",
)
@click.option("--detach", is_flag=True, help="Return when it is ready; `taskflow down` ends it.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=None,
    help="Port of the API; 0 takes a free one.  [default: TASKFLOW_PORT or 8000]",
)
@shared.data
@click.option(
    "--workers",
    type=click.IntRange(1, 100),
    default=2,
    show_default=True,
    help="Worker processes of the flow `default`.",
)
@click.option(
    "--seed",
    is_flag=True,
    help="Create user@example.com and admin@example.com also in a database of yours."
    " Their passwords are public.",
)
def up(*, detach: bool, port: int | None, data: Path, workers: int, seed: bool) -> int:
    """Start everything on this machine and stay with it.

    PostgreSQL and Valkey come with it and keep their data in the data directory; with DATABASE_URL or
    REDIS_URL set, those are used. Then: schema, API, dispatcher, workers, and one task to show it works.
    A part that crashes is started again. Ctrl-C ends all of it, a second Ctrl-C at once.
    """
    directory = DataDirectory.at(data)
    options = _options(port, workers, seed=seed)
    directory.create()
    if not detach:
        _up(directory, options, detached=False, on_ready=lambda: None)
        return 0

    def in_background(on_ready: Callable[[], None]) -> int:
        try:
            _up(directory, options, detached=True, on_ready=on_ready)
        except click.ClickException as error:
            return report(error)
        return 0

    return background.detach(in_background, directory.log("up"))


def _up(
    directory: DataDirectory,
    options: Options,
    *,
    detached: bool,
    on_ready: Callable[[], None],
) -> None:
    try:
        with directory.locked():
            left = end_leftovers(directory)
            options = replace(options, port=free_port(options.host, options.port))
            asyncio.run(run(directory, options, left=left, detached=detached, on_ready=on_ready))
    except InUseError:
        raise CommandError(_where_it_runs(directory)) from None


def _where_it_runs(directory: DataDirectory) -> str:
    first = state.running(directory.state)
    if first is None or first.api_url is None:
        return f"Another `taskflow up` is just starting in {directory.root}."
    option = (
        "" if directory == DataDirectory.at(DEFAULT) else f" --data {quote(str(directory.root))}"
    )
    return (
        f"TaskFlow already runs here: {first.api_url}/docs (pid {first.supervisor.pid});"
        f" `taskflow down{option}` ends it."
    )


def _options(port: int | None, workers: int, *, seed: bool) -> Options:
    """Read the environment; what is wrong with it ends the process with a sentence."""
    (http,) = settings_or_exit(HttpSettings)
    options = Options(
        host=http.host, port=http.port if port is None else port, workers=workers, seed=seed
    )
    if os.environ.get("DATABASE_URL"):
        (database,) = settings_or_exit(DatabaseSettings)
        options = replace(options, database_url=database.url.get_secret_value())
    if os.environ.get("REDIS_URL"):
        (redis,) = settings_or_exit(RedisSettings)
        options = replace(options, redis_url=redis.url.get_secret_value())
    if os.environ.get("TASKFLOW_JWT_KEYS"):
        settings_or_exit(AuthSettings)
        options = replace(options, jwt_keys=os.environ["TASKFLOW_JWT_KEYS"])
    return options
