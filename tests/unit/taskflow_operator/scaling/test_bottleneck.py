"""A growth that brings nothing is the last one for a while."""

from collections.abc import Callable, Iterator

import pytest

from taskflow_operator.scaling import Bound, Decision, Fleet, Load, Memory, Reason, decide
from taskflow_operator.scaling.bottleneck import PAUSE_S, Growth, watched
from tests.unit.taskflow_operator.scaling.cases import LONG_AGO, NOW, carried_out, load, policy

OF = policy(max_replicas=400)
GROWTH = Growth(began=0.0, working=4, done_per_s=20.0, busy_s=2.0)


def watch(
    now: float, done_per_s: float, working: int = 8, growth: Growth = GROWTH
) -> Growth | None:
    return watched(growth, now=now, working=working, done_per_s=done_per_s, slots=10, start_s=8.0)


def test_nothing_is_said_before_the_first_window_is_over() -> None:
    assert watch(37.9, 20.0) == GROWTH


@pytest.mark.parametrize(("done", "failed"), [(20.0, 1), (23.9, 1), (24.0, None)])
def test_a_fifth_of_what_was_predicted_proves_a_growth(done: float, failed: int | None) -> None:
    seen = watch(38.0, done)  # 4 more workers of 10 slots and 2 s: 20/s more were predicted

    assert (seen.failed if seen else None) == failed


def test_workers_that_have_not_started_prove_nothing() -> None:
    seen = watch(38.0, 20.0, working=4)

    assert seen == Growth(began=38.0, working=4, done_per_s=20.0, busy_s=2.0)


def test_long_tasks_are_given_the_time_to_end() -> None:
    slow = Growth(began=0.0, working=4, done_per_s=0.3, busy_s=120.0)

    assert watch(247.0, 0.3, growth=slow) == slow
    assert watch(248.0, 0.3, growth=slow) != slow


def behind(capacity: Callable[[int], float]) -> Iterator[tuple[float, Decision]]:
    """Play 25 arrivals a second for 10 min into a flow whose workers end `capacity` together."""
    workers, memory, waiting = Fleet(4, working=4), LONG_AGO, 500.0
    for second in range(600):
        now = NOW + second
        done = min(capacity(workers.current), 25 + waiting)
        waiting = max(0.0, waiting + 25 - done)
        seen = Load(
            at=now,
            waiting=waiting,
            running=workers.current * 10,
            arrivals_per_s=25.0,
            busy_s=2.0,
            samples=1000,
            start_s=0.0,
            done_per_s=done,
        )
        decision, memory = decide(OF, workers, seen, memory, now)
        workers = carried_out(workers, decision)
        yield now, decision


def test_behind_a_full_database_growing_stops_with_the_reason() -> None:
    history = list(behind(lambda workers: min(20.0, workers * 5.0)))

    stopped = [decision for _, decision in history if decision.reason is Reason.BOTTLENECK]
    assert stopped
    assert stopped[0].bounds == {Bound.BOTTLENECK}
    assert "more would not help" in stopped[0].message
    began = next(at for at, decision in history if decision.reason is Reason.BOTTLENECK)
    grown = [at for at, decision in history if decision.target > decision.current]
    assert [at for at in grown if at < began]
    assert not [at for at in grown if began < at < NOW + 60 + PAUSE_S]


def test_where_workers_help_growing_never_stops() -> None:
    history = list(behind(lambda workers: workers * 5.0))

    assert Reason.BOTTLENECK not in {decision.reason for _, decision in history}


def test_once_nothing_waits_the_bottleneck_is_forgotten() -> None:
    workers, memory, now = Fleet(4, working=4), LONG_AGO, NOW
    for second in range(100):
        now = NOW + second
        seen = load(25, 900 + 5 * second, done_per_s=20.0, at=now)
        decision, memory = decide(OF, workers, seen, memory, now)
        workers = carried_out(workers, decision)
    assert memory.bottleneck_until > now
    _, memory = decide(OF, workers, load(100, 0, at=now), memory, now)

    assert memory.bottleneck_until < now


def test_a_bottleneck_does_not_keep_an_idle_flow_asleep() -> None:
    hindered = Memory(since=NOW - 900, heard_at=NOW, bottleneck_until=NOW + 200)

    decision, _ = decide(OF, Fleet(0), load(0, 500), hindered, NOW)

    assert decision.target == 1
