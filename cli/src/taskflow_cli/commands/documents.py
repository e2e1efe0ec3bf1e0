"""`taskflow openapi`, `metrics-doc`, `settings-doc`: print the generated files."""

import json

import click

from taskflow_cli import documents


@click.command(name="metrics-doc", epilog="Example:  taskflow metrics-doc > docs/metrics.md")
def metrics_doc() -> None:
    """Print docs/metrics.md: every series with its labels."""
    click.echo(documents.metrics_markdown(), nl=False)


@click.command(
    name="settings-doc", epilog="Example:  taskflow settings-doc > docs/configuration.md"
)
def settings_doc() -> None:
    """Print docs/configuration.md: every environment variable."""
    click.echo(documents.settings_markdown(), nl=False)


@click.command(epilog="Example:  taskflow openapi > docs/openapi.json")
def openapi() -> None:
    """Print docs/openapi.json: the HTTP API as OpenAPI 3.1."""
    from taskflow_api.openapi import document  # noqa: PLC0415 - a web framework, for this one only

    click.echo(json.dumps(document(), indent=2, ensure_ascii=False))
