"""`taskflow status`: what runs, and what every flow is doing."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import click
from redis.exceptions import RedisError
from rich.table import Table

from taskflow_cli.commands import options as shared
from taskflow_cli.errors import CommandError
from taskflow_cli.local import flows, state
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.processes import runs
from taskflow_cli.screen import console, count, duration
from taskflow_core.process import settings_or_exit
from taskflow_core.queue.signals import FlowSignals
from taskflow_core.redis import connect
from taskflow_core.settings import RedisSettings


@click.command(epilog="Example:  taskflow status default --json")
@click.argument("flow", required=False)
@shared.data
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, flow: str | None, data: Path, as_json: bool) -> None:
    """Show what runs here and what every flow (or FLOW) is doing.

    With REDIS_URL set, the flows are those of that Redis, wherever their workers run.
    """
    directory = DataDirectory.at(data)
    running = state.running(directory.state)
    redis_url = _redis_url(running)
    if redis_url is None:
        raise CommandError(
            f"No TaskFlow runs in {directory.root}; start it with `taskflow up`, or set REDIS_URL to"
            " see flows that run elsewhere."
        )
    now = time.time()
    found = asyncio.run(_read(redis_url))
    if flow is not None:
        found = [signals for signals in found if signals.flow == flow]
        if not found:
            raise CommandError(f"No flow {flow} had work or workers in the last day.")
    if as_json:
        click.echo(json.dumps(_document(running, found, now), indent=2))
    else:
        _print(running, found, now)


def _redis_url(running: state.State | None) -> str | None:
    if os.environ.get("REDIS_URL"):
        (redis,) = settings_or_exit(RedisSettings)
        return redis.url.get_secret_value()
    return running.redis_url if running is not None else None


async def _read(url: str) -> list[FlowSignals]:
    async with connect(RedisSettings.model_validate({"REDIS_URL": url})) as redis:
        try:
            return await flows.read_flows(redis)
        except (RedisError, OSError) as error:
            raise CommandError(f"Redis cannot be reached: {error}.") from None


def _document(running: state.State | None, found: list[FlowSignals], now: float) -> dict[str, Any]:
    return {
        "running": running is not None,
        "api_url": running.api_url if running else None,
        "pid": running.supervisor.pid if running else None,
        "parts": [_part(part, now) for part in running.parts] if running else [],
        "flows": [flows.as_json(signals, now) for signals in found],
    }


def _part(part: state.PartState, now: float) -> dict[str, Any]:
    alive = runs(part.process)
    return {
        "name": part.name,
        "state": _state(part, alive=alive),
        "pid": part.pid if alive else None,
        "uptime_s": round(now - part.started_at, 1) if alive else None,
        "restarts": part.restarts,
        "log": part.log,
    }


def _state(part: state.PartState, *, alive: bool) -> str:
    if not alive:
        return "down"
    return "running" if part.ready else "starting"


def _print(running: state.State | None, found: list[FlowSignals], now: float) -> None:
    screen = console()
    if running is not None:
        screen.print(f"API {running.api_url}/docs   pid {running.supervisor.pid}", markup=False)
        parts = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("part", "state", "pid", "up for", "restarts"):
            parts.add_column(column, justify="right" if column == "restarts" else "left")
        for row in (_part(part, now) for part in running.parts):
            uptime = "" if row["uptime_s"] is None else duration(row["uptime_s"])
            parts.add_row(
                row["name"], row["state"], str(row["pid"] or ""), uptime, str(row["restarts"])
            )
        screen.print(parts)
        screen.print()
    if not found:
        screen.print("no flow has had work or workers yet")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("flow")
    for column in (
        "waiting",
        "window",
        "running",
        "arrivals",
        "workers",
        "slots busy",
        "mean time",
    ):
        table.add_column(column, justify="right")
    for shown in (flows.as_json(signals, now) for signals in found):
        table.add_row(*_cells(shown))
    screen.print(table)


def _cells(flow: dict[str, Any]) -> list[str]:
    def number(value: float | None) -> str:
        return "?" if value is None else count(value)

    mean_s = flow["mean_service_s"]
    return [
        flow["flow"],
        *(number(flow[name]) for name in ("waiting", "window", "running")),
        f"{flow['arrivals_per_s']:.1f}/s",
        str(len(flow["workers"])),
        f"{flow['busy']}/{flow['slots']}",
        "?" if mean_s is None else duration(mean_s),
    ]
