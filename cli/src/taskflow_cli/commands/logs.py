"""`taskflow logs`: what the parts wrote."""

import contextlib
import io
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TextIO

import click

from taskflow_cli.commands import options as shared
from taskflow_cli.errors import BadInputError
from taskflow_cli.local.data import DataDirectory

_POLL_S = 0.2
_LEVELS = {"warning": "yellow", "error": "red", "critical": "red"}


@click.command(epilog="Example:  taskflow logs worker-1 -f")
@click.argument("part", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 1_000_000),
    default=20,
    show_default=True,
    help="Lines of each log to begin with.",
)
@shared.data
def logs(*, part: str | None, follow: bool, lines: int, data: Path) -> None:
    """Show the end of a part's log, or of all: api, dispatcher, worker-1, postgres, valkey, up.

    On a terminal JSON lines are made readable; a pipe gets them as they are.
    """
    chosen = _chosen(DataDirectory.at(data), part)
    with contextlib.ExitStack() as files:
        tails = [files.enter_context(Tail(log, prefix=part is None)) for log in chosen]
        for log in tails:
            log.show_last(lines)
        while follow:
            if not sum(log.show_new() for log in tails):
                time.sleep(_POLL_S)


def _chosen(directory: DataDirectory, part: str | None) -> list[Path]:
    there = sorted(directory.logs.glob("*.log"))
    if not there:
        raise BadInputError(f"There are no logs in {directory.logs}; did `taskflow up` run?")
    if part is None:
        return there
    chosen = [log for log in there if log.stem == part]
    if not chosen:
        names = ", ".join(log.stem for log in there)
        raise BadInputError(f"There is no part {part}; there are: {names}.")
    return chosen


class Tail:
    """One log, followed also when it is put aside and begun anew."""

    def __init__(self, path: Path, *, prefix: bool) -> None:
        self._path = path
        self._prefix = f"{path.stem:<10} " if prefix else ""
        self._file: TextIO = path.open(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def show_last(self, lines: int) -> None:
        """Show the last lines there are."""
        for line in deque(self._file, maxlen=lines):
            self._show(line)

    def show_new(self) -> int:
        """Show what was written since; return how many lines."""
        shown = 0
        for line in self._whole_lines():
            self._show(line)
            shown += 1
        if not shown and self._was_replaced():
            self._file.close()
            self._file = self._path.open(errors="replace")
        return shown

    def _whole_lines(self) -> Iterator[str]:
        while True:
            before = self._file.tell()
            line = self._file.readline()
            if not line.endswith("\n"):  # half a line: its writer is at it
                self._file.seek(before)
                return
            yield line

    def _was_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _show(self, line: str) -> None:
        text = line.rstrip("\n")
        click.echo(self._prefix + (readable(text) if sys.stdout.isatty() else text))
        sys.stdout.flush()


def readable(line: str) -> str:
    """Return a JSON log line as time, level, event and the rest; any other line as it is."""
    try:
        fact = json.load(io.StringIO(line))
        event, at = fact.pop("event"), fact.pop("timestamp")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    level = str(fact.pop("level", ""))
    rest = " ".join(f"{key}={value}" for key, value in fact.items())
    coloured = level if os.environ.get("NO_COLOR") else click.style(level, fg=_LEVELS.get(level))
    return f"{str(at)[11:23]} {coloured} {event} {rest}".rstrip()
