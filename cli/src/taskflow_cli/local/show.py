"""What `taskflow up` prints while it starts, once it runs, and from then on."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil
from rich.console import Console
from rich.live import Live
from rich.text import Text

from taskflow_cli.client import Client
from taskflow_cli.errors import CommandError
from taskflow_cli.life import life
from taskflow_cli.local.seed import ADMIN, USER
from taskflow_cli.screen import duration
from taskflow_core import __version__

_PLAIN_EVERY_S = 2.0  # at most one line in this time when nobody watches


class Starting:
    """One line that grows while parts come up."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._console.print(f"TaskFlow {__version__}", style="bold", end="")

    def step(self, what: str) -> None:
        """Add something that is there now."""
        self._console.print("  [green]✓[/green] ", end="")
        self._console.print(what, end="", markup=False)
        self._console.file.flush()

    def failed(self, what: str) -> None:
        """End the line with what is not there."""
        self._console.print("  [red]✗[/red] ", end="")
        self._console.print(what, markup=False)

    def ready(self) -> None:
        """End the line with the time since the command was typed."""
        took_s = time.time() - psutil.Process().create_time()
        self._console.print(f"   {took_s:.1f} s")


def sample(url: str) -> str:
    """Submit one task through HTTP as the seeded user; return its life or why there is none."""
    try:
        with Client(url) as client:
            client.login(*USER)
            submission = client.create(
                {"title": "a first task", "handler": "echo", "payload": {"n": 1}}
            )
            *_, last = client.follow(submission.task.id)
            return life(submission, last)
    except CommandError as error:
        return f"not this time: {error.format_message()}"


def addresses(console: Console, url: str, *, seeded: bool, sample_life: str | None) -> None:
    """Print where it is, how to log in, and a task's life."""
    if not seeded:
        console.print(
            f"  API   {url}/docs     no logins are seeded into a database of yours; --seed does it",
            markup=False,
        )
        return
    logins = f"{' / '.join(USER)}   ({' / '.join(ADMIN)})"
    console.print(f"  API   {url}/docs     log in as  {logins}", markup=False)
    if sample_life is not None:
        console.print(f"  A task, once through:  {sample_life}", markup=False)


def try_it(console: Console, url: str) -> None:
    """Print two lines that can be pasted into any shell of this machine."""
    email, password = USER
    here = url.replace("http://127.0.0.1", "localhost")
    console.print("Try it:")
    log_in = (
        f"TOKEN=$(curl -s {here}/api/v1/auth/login"
        f""" -d '{{"email":"{email}","password":"{password}"}}'"""
        " -H 'content-type: application/json' | python3 -c"
        """ 'import json,sys; print(json.load(sys.stdin)["access_token"])')"""
    )
    create = (
        f'curl -s {here}/api/v1/tasks -H "authorization: Bearer $TOKEN"'
        " -H 'content-type: application/json'"
        """ -d '{"title":"hello","handler":"echo","payload":{"n":2}}'"""
    )
    console.print(f"  {log_in}\n  {create}", markup=False)


def closing(console: Console, data: Path, *, detached: bool) -> None:
    """Print how it ends and what stays."""
    shown = data.relative_to(Path.cwd()) if data.is_relative_to(Path.cwd()) else data
    option = "" if str(shown) == ".taskflow" else f" --data {shlex.quote(str(shown))}"
    how = f"`taskflow down{option}` stops all of it" if detached else "Ctrl-C stops all of it"
    console.print(f"{how}; data stays in {shown}/", markup=False)


class Dashboard:
    """A live line per flow on a terminal; elsewhere a line when something has changed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._shown: tuple[str, ...] = ()
        self._next = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, lines: Sequence[str]) -> None:
        """Show how the flows are now."""
        now = tuple(lines)
        if now == self._shown:
            return
        if self._console.is_terminal:
            self._live.update(Text("\n".join(now), no_wrap=True, overflow="ellipsis"), refresh=True)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_EVERY_S
            self._plain([line for line in now if line not in self._shown])
        else:
            return
        self._shown = now

    def say(self, sentence: str) -> None:
        """Print a sentence above the live lines."""
        self._console.print(f"{time.strftime('%H:%M:%S')} {sentence}", markup=False)
        self._console.file.flush()

    def _plain(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.say(line)


def stopped(console: Console, took_s: float) -> None:
    """Print that nothing runs any more."""
    console.print(f"stopped, nothing is left running   {duration(took_s)}")
    sys.stdout.flush()
