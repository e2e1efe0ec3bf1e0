"""`taskflow bench`: figures of this machine."""

import asyncio
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from taskflow_cli.bench.cores import Cores, choose, loop_ms, pin
from taskflow_cli.bench.queue import SLOTS, Drain, Pickup, drain, pickup
from taskflow_cli.bench.stage import Stage, stage
from taskflow_cli.screen import console, count
from taskflow_core import __version__

_BUSY = 0.5  # load average from which figures are no longer the machine's own


@click.group(epilog="Example:  taskflow bench queue")
def bench() -> None:
    """Measure this machine; nothing that runs on it is touched."""


@bench.command(epilog="Example:  taskflow bench queue --tasks 20000 --seconds 10 --json queue.json")
@click.option(
    "--tasks",
    type=click.IntRange(1000, 2_000_000),
    default=20_000,
    show_default=True,
    help="No-op tasks to drain.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=10.0,
    show_default=True,
    help="How long tasks are created at 100/s for the time from commit to start.",
)
@click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write the figures here, too.",
)
def queue(*, tasks: int, seconds: float, file: Path | None) -> None:
    """Drain durable no-op tasks with one worker; then measure from commit to start.

    PostgreSQL (syncing to disk) and Valkey are started for it and share one core with the load, the
    worker has another. Every task is then checked: completed once, its history kept.
    """
    screen, cores = console(), choose()
    pin(os.getpid(), cores.servers)
    _say_where(screen, cores)
    loop = loop_ms()
    _say_how_fast(screen, loop)
    with stage(cores) as prepared:
        versions = _versions(prepared)
        with _bar(screen, f"draining {count(tasks)} tasks", tasks) as step:
            drained = asyncio.run(drain(prepared, tasks, step))
        _say_drain(screen, drained)
        with _bar(screen, "100 tasks/s", int(seconds * 100)) as step:
            picked_up = asyncio.run(pickup(prepared, seconds, step))
        _say_pickup(screen, picked_up)
    figures = _figures(drained, picked_up, versions, cores.as_json() | {"loop_ms": round(loop)})
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n")
    click.echo(json.dumps(figures))


def _versions(prepared: Stage) -> dict[str, str]:
    return {
        "taskflow": __version__,
        "python": platform.python_version(),
        "postgresql": prepared.postgres.version(),
        "valkey": prepared.valkey.version(),
    }


def _figures(
    drained: Drain, picked_up: Pickup, versions: dict[str, str], cores: dict[str, Any]
) -> dict[str, Any]:
    return {
        "case": "queue",
        "versions": versions,
        "cores": cores,
        "rows": [
            {
                "name": "taskflow",
                "tasks": drained.tasks,
                "slots": SLOTS,
                "rate": round(drained.rate),
                "worker_us": round(drained.worker_us, 1),
                "postgres_us": round(drained.postgres_us, 1),
                "p50_ms": round(picked_up.p50_ms, 2),
                "p99_ms": round(picked_up.p99_ms, 2),
                "max_ms": round(picked_up.max_ms, 2),
            }
        ],
        "ratios": {},
    }


def _say_where(screen: Console, cores: Cores) -> None:
    if cores.worker:
        screen.print(
            f"PostgreSQL (fsync on), Valkey and the load on core {min(cores.servers)},"
            f" one worker on core {min(cores.worker)}"
        )
    else:
        screen.print("PostgreSQL (fsync on), Valkey, load and one worker share all cores")


def _say_how_fast(screen: Console, loop: float) -> None:
    load = os.getloadavg()[0]
    busy = f"; other work keeps {load:.1f} cores busy: expect less" if load > _BUSY else ""
    screen.print(f"a million additions take {loop:.0f} ms here{busy}")


def _say_drain(screen: Console, drained: Drain) -> None:
    screen.print(
        f"drain          {count(drained.tasks)} tasks in {drained.seconds:.2f} s ="
        f" {count(drained.rate)}/s   worker {drained.worker_us:.1f} µs a task,"
        f" PostgreSQL {drained.postgres_us:.1f} µs; all completed once, history kept"
    )


def _say_pickup(screen: Console, picked_up: Pickup) -> None:
    screen.print(
        f"commit → start p50 {picked_up.p50_ms:.2f} ms   p99 {picked_up.p99_ms:.2f} ms"
        f"   max {picked_up.max_ms:.2f} ms   at 100/s, {count(picked_up.tasks)} tasks"
    )


@contextmanager
def _bar(screen: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
        shown = progress.add_task(what, total=total)
        yield lambda done: progress.update(shown, completed=done)
