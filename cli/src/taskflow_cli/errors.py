"""What a command says when it cannot do what was asked: one sentence, and an exit code."""

import os
import sys

import click


class CommandError(click.ClickException):
    """It did not work; exit code 1. The message says why and what to type next."""

    exit_code = 1


class BadInputError(click.ClickException):
    """What was typed cannot be meant; exit code 2. The message names the option and the fix."""

    exit_code = 2


def report(error: click.ClickException) -> int:
    """Print an error as one sentence on stderr; return its exit code."""
    sentence = error.format_message()
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "taskflow"
        sentence += f" See: {command} --help"
    click.secho(sentence, err=True, fg="red" if _coloured() else None)
    return error.exit_code


def _coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
