"""Options that several commands share."""

from pathlib import Path

import click

from taskflow_cli.local import data as directory

data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=directory.DEFAULT,
    show_default=True,
    help="Directory of the local TaskFlow.",
)
