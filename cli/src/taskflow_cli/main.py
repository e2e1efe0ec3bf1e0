"""The entry: commands are loaded when they are asked for, errors become one sentence."""

import importlib
import io
import sys
from typing import override

import click

from taskflow_cli.errors import BadInputError, CommandError, report
from taskflow_core import __version__

# name → module and attribute, and its line in `taskflow --help`, in that order
_COMMANDS = {
    "up": ("up:up", "Start everything on this machine and stay with it."),
    "down": ("down:down", "End what `up` started."),
    "status": ("status:status", "What runs, and what every flow is doing."),
    "logs": ("logs:logs", "What the parts wrote."),
    "submit": ("submit:submit", "Create a task through the API and follow it to its end."),
    "db": ("db:db", "Schema, drift and retention of the database."),
    "bench": ("bench:bench", "Measure the queue on this machine."),
    "openapi": ("documents:openapi", "Print docs/openapi.json."),
    "metrics-doc": ("documents:metrics_doc", "Print docs/metrics.md."),
    "settings-doc": ("documents:settings_doc", "Print docs/configuration.md."),
}
INTERRUPTED = 130  # as shells report SIGINT


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used.

    Together they import a web framework and a migration tool; `taskflow --help` needs neither.
    """

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name][0].split(":")
        loaded = importlib.import_module(f"taskflow_cli.commands.{module}")
        command: click.Command = getattr(loaded, attribute)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="taskflow", message="%(prog)s %(version)s")
def cli() -> None:
    """Run TaskFlow on this machine, give it tasks and look after it.

    Start with:  taskflow up
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal without ✓ shows ? and nothing breaks
            stream.reconfigure(errors="replace")
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    try:
        code = cli.main(arguments, prog_name="taskflow", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return BadInputError.exit_code
    except click.ClickException as error:
        return report(error)
    except OSError as error:  # a full disk, somebody else's data directory
        where = f"{error.filename}: " if error.filename else ""
        return report(CommandError(f"{where}{error.strerror or error}."))
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else 0
