"""Dispatchers in this process and in others, made of the same parts as the real one."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_worker.dispatcher.election import Election
from taskflow_worker.dispatcher.service import candidate
from taskflow_worker.dispatcher.timings import Timings

QUICK = replace(
    Timings(),
    lease_ttl_s=1.5,
    renew_s=0.3,
    follow_s=0.1,
    tick_s=0.05,
    sessions_s=0.1,
    expire_after_s=1.5,
    contact_gap_s=0.5,
    audit_s=0.5,
    overdue_s=0.5,
    confirm_s=0.2,
    report_s=0.1,
    first_pause_s=0.05,
    longest_pause_s=0.2,
)

_QUICK_PROGRAM = """
from taskflow_worker.dispatcher import __main__
from tests.support.dispatcher import QUICK
__main__.main(QUICK)
"""


@asynccontextmanager
async def dispatching(
    database: DatabaseSettings,
    redis: RedisSettings,
    *,
    replica: str = "replica-1",
    registry: CollectorRegistry | None = None,
    timings: Timings = QUICK,
) -> AsyncIterator[Election]:
    """Run a replica for the length of the block."""
    stop = asyncio.Event()
    async with candidate(
        database,
        redis,
        replica=replica,
        registry=registry or CollectorRegistry(),
        timings=timings,
    ) as election:
        running = asyncio.create_task(election.run(stop))
        try:
            yield election
        finally:
            stop.set()
            await running


@contextmanager
def dispatcher_process(
    log: Path, *, quick: bool = True, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a replica in a process of its own, with `QUICK` timings or the real ones."""
    program = ["-c", _QUICK_PROGRAM] if quick else ["-m", "taskflow_worker.dispatcher"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *program], stderr=output, stdout=output, env=environment
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
