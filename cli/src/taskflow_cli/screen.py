"""How commands print: colours and live lines on a terminal, plain lines in a pipe."""

import math
import os
import sys
from typing import override

from rich.console import Console


class _Console(Console):
    """A console whose reader may leave: `taskflow up --detach | head` still starts everything."""

    @override
    def on_broken_pipe(self) -> None:
        say_no_more()


def say_no_more() -> None:
    """Write to nobody from now on: whoever read, or the terminal itself, is gone."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nothing, stream.fileno())
    os.close(nothing)


def console(*, stderr: bool = False) -> Console:
    """Return a console for now's stdout or stderr; it respects `NO_COLOR` and pipes."""
    return _Console(stderr=stderr, highlight=False, soft_wrap=True)


def count(number: float) -> str:
    """Return a whole number with thousands marked: 20,000."""
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: 850 ms, 4.1 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 - two digits say enough
        return f"{seconds:.1f} s"
    whole = math.floor(seconds)
    for unit, small, size, small_size in (
        ("d", "h", 86_400, 3_600),
        ("h", "min", 3_600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"
