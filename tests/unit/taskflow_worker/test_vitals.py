"""What a worker says about itself."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from taskflow_core.telemetry.metrics import WorkerMetrics
from taskflow_worker.attempt import Attempt, Ending, Outcome
from taskflow_worker.vitals import Vitals, rss_bytes


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def vitals(clock: Clock, registry: CollectorRegistry) -> Vitals:
    return Vitals(
        WorkerMetrics(registry), flow="f", replica="r", slots=4, handlers=["a"], clock=clock
    )


def attempt(started: float, outcome: Outcome = Outcome.COMPLETED, handler: str = "a") -> Attempt:
    one = Attempt("t", 1, 3, handler, None, None, None, 0.25, 1)
    one.started = started
    one.ending = Ending(outcome)
    return one


def beat(vitals: Vitals, *running: Attempt) -> dict[str, object]:
    said = vitals.beat(session=1, busy=len(running), running=running, stopping=False)
    return {name: getattr(said, name) for name in said.__struct_fields__}


def test_there_is_a_mean_as_soon_as_an_attempt_has_ended(vitals: Vitals, clock: Clock) -> None:
    assert beat(vitals)["mean_service_s"] is None

    vitals.ended(attempt(clock.now - 2))
    vitals.ended(attempt(clock.now - 4))

    assert beat(vitals)["mean_service_s"] == pytest.approx(3)


def test_what_runs_is_told_by_its_oldest_and_all_together(vitals: Vitals, clock: Clock) -> None:
    assert (beat(vitals)["oldest_running_s"], beat(vitals)["running_s"]) == (0, 0)

    said = beat(vitals, attempt(clock.now - 7), attempt(clock.now - 1))

    assert (said["oldest_running_s"], said["running_s"]) == (7, 8)


def test_the_mean_follows_what_changes(vitals: Vitals, clock: Clock) -> None:
    for took_s in [1.0] * 200 + [10.0] * 200:
        vitals.ended(attempt(clock.now - took_s))

    assert beat(vitals)["mean_service_s"] == pytest.approx(10, abs=0.5)


def test_only_what_postgresql_took_is_done_or_failed(
    vitals: Vitals, registry: CollectorRegistry
) -> None:
    vitals.settled(
        [
            attempt(0),
            attempt(0),
            attempt(0, Outcome.RETRY),
            attempt(0, Outcome.FAILED, handler="anybody can invent this"),
            attempt(0, Outcome.RETURN),
        ]
    )

    said = beat(vitals)
    assert (said["done"], said["failed"]) == (2, 2)
    assert registry.get_sample_value(
        "taskflow_task_finished_total", {"flow": "f", "handler": "a", "outcome": "completed"}
    ) == pytest.approx(2)
    assert registry.get_sample_value(
        "taskflow_task_finished_total", {"flow": "f", "handler": "unknown", "outcome": "failed"}
    ) == pytest.approx(1), "a label has a bounded number of values"


def test_the_oldest_running_attempt_and_the_last_progress_have_an_age(
    vitals: Vitals, clock: Clock
) -> None:
    vitals.claimed([attempt(clock.now)])
    clock.now += 30

    said = beat(vitals, attempt(clock.now - 7), attempt(clock.now - 3))
    assert said["oldest_running_s"] == pytest.approx(7)
    assert float(str(said["at"])) - float(str(said["progress_at"])) == pytest.approx(30)
    assert beat(vitals)["oldest_running_s"] == 0


async def test_a_blocked_event_loop_shows_as_lag_once(registry: CollectorRegistry) -> None:
    clock = Clock()
    vitals = Vitals(
        WorkerMetrics(registry), flow="f", replica="r", slots=1, handlers=[], clock=clock
    )
    watching = asyncio.create_task(vitals.watch_loop())
    await asyncio.sleep(0)
    clock.now += 3.5  # half a second is how long the timer was to take

    assert beat(vitals)["loop_lag_s"] == pytest.approx(3)
    vitals.turned_at = clock.now
    assert beat(vitals)["loop_lag_s"] == 0
    watching.cancel()


def test_memory_is_measured() -> None:
    assert 10_000_000 < rss_bytes() < 10_000_000_000
