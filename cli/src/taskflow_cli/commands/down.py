"""`taskflow down`: ends what `up` started."""

import signal
from pathlib import Path

import click

from taskflow_cli.commands import options as shared
from taskflow_cli.errors import CommandError
from taskflow_cli.local import state
from taskflow_cli.local.data import DataDirectory, InUseError
from taskflow_cli.local.leftovers import end_leftovers
from taskflow_cli.local.processes import runs, send, wait_ended

_WAIT_S = 90.0  # longer than every part's grace together


@click.command(epilog="Example:  taskflow down")
@shared.data
def down(data: Path) -> None:
    """End what `taskflow up` started, in the foreground or not, and wait for it.

    Processes are known by pid and start time: nothing else is ever signalled.
    """
    directory = DataDirectory.at(data)
    running = state.running(directory.state)
    if running is None:
        _clean_up(directory)
        return
    send(running.supervisor, signal.SIGTERM)
    if not wait_ended(running.supervisor, _WAIT_S):
        raise CommandError(
            f"TaskFlow (pid {running.supervisor.pid}) has not ended within {_WAIT_S:.0f} s; see"
            f" {directory.log('up')}."
        )
    left = [part.name for part in running.parts if runs(part.process)]
    if left:
        _clean_up(directory)
        return
    click.echo(f"TaskFlow has ended; its data stays in {directory.root}.")


def _clean_up(directory: DataDirectory) -> None:
    """Nobody supervises: end what a killed run may have left."""
    left: list[str] = []
    if directory.root.exists():
        try:
            with directory.locked():
                left = end_leftovers(directory)
        except InUseError:
            raise CommandError(
                f"`taskflow up` is just starting in {directory.root}; try again in a moment."
            ) from None
    if left:
        click.echo(f"Ended what a killed run had left: {', '.join(left)}.")
    else:
        click.echo(f"No TaskFlow runs in {directory.root}.")
