"""What a command says when it cannot do what was asked: one sentence, and an exit code."""

import click


class CommandError(click.ClickException):
    """It did not work; exit code 1. The message says why and what to type next."""

    exit_code = 1


class BadInputError(click.ClickException):
    """What was typed cannot be meant; exit code 2. The message names the option and the fix."""

    exit_code = 2
