"""How every TaskFlow process begins and ends: its settings, its name, the signals that stop it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, overload

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings

BAD_SETTINGS = 2  # exit code, as for any bad input to a command


@overload
def settings_or_exit[A: BaseSettings](a: type[A], /) -> tuple[A]: ...
@overload
def settings_or_exit[A: BaseSettings, B: BaseSettings](
    a: type[A], b: type[B], /
) -> tuple[A, B]: ...
@overload
def settings_or_exit[A: BaseSettings, B: BaseSettings, C: BaseSettings](
    a: type[A], b: type[B], c: type[C], /
) -> tuple[A, B, C]: ...
@overload
def settings_or_exit[A: BaseSettings, B: BaseSettings, C: BaseSettings, D: BaseSettings](
    a: type[A], b: type[B], c: type[C], d: type[D], /
) -> tuple[A, B, C, D]: ...
@overload
def settings_or_exit[
    A: BaseSettings,
    B: BaseSettings,
    C: BaseSettings,
    D: BaseSettings,
    E: BaseSettings,
](a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /) -> tuple[A, B, C, D, E]: ...
def settings_or_exit(*classes: type[BaseSettings]) -> tuple[Any, ...]:
    """Read settings from the environment, all of them before any is complained about.

    If something is wrong: one sentence per variable on stderr, without its value, and exit code 2.
    """
    read: list[BaseSettings] = []
    complaints: list[str] = []
    for cls in classes:
        try:
            read.append(cls())
        except ValidationError as error:
            complaints += [_sentence(cls, details) for details in error.errors()]
    if complaints:
        refuse(*dict.fromkeys(complaints))
    return tuple(read)


def refuse(*sentences: str) -> NoReturn:
    """Say on stderr which settings are wrong, a sentence each, and exit with code 2."""
    print(*sentences, sep="\n", file=sys.stderr)  # noqa: T201 - for people, not for the log
    raise SystemExit(BAD_SETTINGS)


def replica_name(configured: str) -> str:
    """Return how this process calls itself: as configured, or by host and process id."""
    return configured or f"{socket.gethostname()}-{os.getpid()}"


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Give an event that SIGTERM or SIGINT sets; a second signal ends the process as usual."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def heard(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _sentence(cls: type[BaseSettings], details: ErrorDetails) -> str:
    """Say which variable is wrong, how, and what it is for; never what it holds."""
    cause = details.get("ctx", {}).get("error")
    problem = str(cause) if isinstance(cause, ValueError) else details["msg"]
    if not details["loc"]:  # a validator of the whole class names its variable itself
        return f"{problem}."
    variable = str(details["loc"][0])
    if details["type"] == "missing":
        problem = "is required but not set"
    purpose = _description(cls, variable)
    return f"{variable}: {problem}" + (f" ({purpose.rstrip('.')})." if purpose else ".")


def _description(cls: type[BaseSettings], variable: str) -> str | None:
    for field in cls.model_fields.values():
        choices = getattr(field.validation_alias, "choices", [field.validation_alias])
        if variable in choices:
            return field.description
    return None
