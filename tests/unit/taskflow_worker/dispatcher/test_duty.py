"""A duty is done again and again, whatever it raises."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
import redis
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from taskflow_core.db.leases import LeaseLost
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import perform
from taskflow_worker.dispatcher.timings import Timings

QUICK = Timings(first_pause_s=0.01, longest_pause_s=0.02)


class Script:
    """Does what is written, step by step, then halts. A number: rest so long. An error: raise it."""

    name = "scripted"

    def __init__(self, *steps: float | Exception) -> None:
        self._steps: Iterator[float | Exception] = iter(steps)
        self.halt = asyncio.Event()
        self.done = 0

    async def step(self) -> float:
        step = next(self._steps, None)
        if step is None:
            self.halt.set()
            return 0.0
        if isinstance(step, Exception):
            raise step
        self.done += 1
        return step


async def run(script: Script, registry: CollectorRegistry | None = None) -> list[str]:
    """Perform to the end; return the log."""
    metrics = DispatcherMetrics(registry or CollectorRegistry())
    with capture_logs() as logs:
        async with asyncio.timeout(5):
            await perform(script, script.halt, QUICK, metrics.failures)
    return [f"{entry['log_level']} {entry['event']}" for entry in logs]


def failures(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("taskflow_dispatcher_failures_total", {"duty": "scripted"})


async def test_it_is_done_again_after_its_rest() -> None:
    script = Script(0.0, 0.001, 0.0)

    assert await run(script) == []
    assert script.done == 3


async def test_an_outage_is_two_lines_in_the_log_and_as_many_failures_as_there_were() -> None:
    registry = CollectorRegistry()
    script = Script(*[psycopg.OperationalError("away")] * 5, 0.0)

    assert await run(script, registry) == [
        "warning dispatcher.duty_failed",
        "info dispatcher.duty_back",
    ]
    assert (script.done, failures(registry)) == (1, 5)


async def test_another_kind_of_trouble_is_another_line() -> None:
    script = Script(redis.ConnectionError("away"), TimeoutError(), TimeoutError(), 0.0)

    assert await run(script) == [
        "warning dispatcher.duty_failed",
        "warning dispatcher.duty_failed",
        "info dispatcher.duty_back",
    ]


@pytest.mark.parametrize("error", [ZeroDivisionError(), psycopg.errors.UndefinedTable("tasks")])
async def test_what_no_outage_explains_is_an_error_and_ends_nothing_either(
    error: Exception,
) -> None:
    script = Script(error, 0.0)

    assert (await run(script))[0] == "error dispatcher.duty_failed"
    assert script.done == 1


async def test_no_longer_leading_is_no_failure() -> None:
    registry = CollectorRegistry()
    script = Script(LeaseLost("over"), 0.0)

    assert await run(script, registry) == []
    assert failures(registry) is None


async def test_a_halt_ends_a_long_rest_at_once() -> None:
    script = Script(3_600.0)
    asyncio.get_running_loop().call_later(0.05, script.halt.set)

    await run(script)

    assert script.done == 1
