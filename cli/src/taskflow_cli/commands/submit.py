"""`taskflow submit`: a task through the API, followed to its end."""

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from taskflow_cli.client import Client, Submission, TaskView
from taskflow_cli.commands import options as shared
from taskflow_cli.errors import BadInputError, CommandError
from taskflow_cli.life import life, reason
from taskflow_cli.local import state
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.seed import USER
from taskflow_cli.screen import console
from taskflow_core.process import settings_or_exit
from taskflow_core.settings import ClientSettings
from taskflow_core.tasks.states import Priority

_DEFAULT_URL = "http://127.0.0.1:8000"


@click.command(
    epilog="""Example:  taskflow submit sleep --payload '{"seconds": 2}' --priority high"""
)
@click.argument("handler")
@click.option("--payload", metavar="JSON", help="What the handler gets; `-` reads it from stdin.")
@click.option("--title", help="What people read in lists.  [default: HANDLER]")
@click.option("--flow", help="The flow it runs in.  [default: default]")
@click.option("--priority", type=click.Choice([p.name.lower() for p in Priority]))
@click.option("--watch/--no-watch", default=True, help="Follow it to its end.  [default: watch]")
@click.option("--url", help="URL of the API.  [default: TASKFLOW_URL, or the local one]")
@click.option("--email", help="Whom to log in as.  [default: TASKFLOW_EMAIL, or the local user]")
@click.option(
    "--password", help="Their password; rather use TASKFLOW_PASSWORD: others see options."
)
@shared.data
def submit(  # noqa: PLR0913 - options are arguments
    *,
    handler: str,
    payload: str | None,
    title: str | None,
    flow: str | None,
    priority: str | None,
    watch: bool,
    url: str | None,
    email: str | None,
    password: str | None,
    data: Path,
) -> int:
    """Create a task that runs HANDLER, and follow it to its end.

    Exit code: 0 completed (or created, with --no-watch), 1 failed or cancelled, 2 bad input.
    """
    task = {"title": title or handler, "handler": handler, "flow": flow}
    if priority is not None:
        task["priority"] = priority.upper()
    if payload is not None:
        task["payload"] = _payload(payload)
    body = {name: value for name, value in task.items() if value is not None or name == "payload"}
    with _logged_in(data, url, email, password) as client:
        submission = client.create(body)
        if not watch:
            click.echo(submission.task.id)
            return 0
        return _follow(client, submission)


def _payload(text: str) -> Any:  # noqa: ANN401 - any JSON
    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"--payload is not JSON: {error}.") from None


def _logged_in(data: Path, url: str | None, email: str | None, password: str | None) -> Client:
    """Return a client with a login: by token, or email and password, or as the local user."""
    (settings,) = settings_or_exit(ClientSettings)
    local = state.running(DataDirectory.at(data).state)
    local_url = local.api_url if local is not None else None
    client = Client(url or settings.url or local_url or _DEFAULT_URL)
    if settings.token is not None and email is None:
        client.use_token(settings.token.get_secret_value())
        return client
    email = email or settings.email
    if password is None and settings.password is not None:
        password = settings.password.get_secret_value()
    if email is None and local is not None and local.seeded and client.url == local_url:
        email, password = USER
    if email is None:
        raise BadInputError(
            "Say who you are: --email and --password, or TASKFLOW_TOKEN with an access token."
        )
    client.login(email, password or _ask_password(email))
    return client


def _ask_password(email: str) -> str:
    if not sys.stdin.isatty():
        raise BadInputError(f"A password for {email} is needed: --password or TASKFLOW_PASSWORD.")
    answer: str = click.prompt(f"Password of {email}", hide_input=True, err=True)
    return answer


def _follow(client: Client, submission: Submission) -> int:
    screen = console()
    last = submission.task
    with _progress(screen) as bar:
        shown = bar.add_task(last.status, total=1.0)
        for last in client.follow(submission.task.id):
            fraction = _fraction(last)
            bar.update(shown, description=last.status, completed=fraction or 0.0)
    screen.print(f"{last.id}  {life(submission, last)}", markup=False)
    if last.status == "COMPLETED":
        return 0
    if last.status == "FAILED":
        raise CommandError(f"The task failed: {reason(last)}")
    raise CommandError(f"The task ended as {last.status}.")


def _progress(screen: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )


def _fraction(task: TaskView) -> float | None:
    if isinstance(task.progress, dict) and isinstance(task.progress.get("fraction"), int | float):
        return float(task.progress["fraction"])
    return None
