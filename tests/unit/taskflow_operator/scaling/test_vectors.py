"""The vectors of the design, row by row."""

from typing import Any

import pytest

from taskflow_operator.scaling import Reason
from tests.unit.taskflow_operator.scaling.cases import decided, fleet, load, played, policy


@pytest.mark.parametrize(
    ("arrivals", "waiting", "fields", "want"),
    [
        (3, 0, {}, 1),
        (30, 0, {}, 8),
        (30, 1500, {}, 13),
        (0, 1, {}, 1),
    ],
)
def test_a_flow_at_zero_gets_what_arrivals_and_backlog_need(
    arrivals: float, waiting: float, fields: dict[str, Any], want: int
) -> None:
    decision = decided(load(arrivals, waiting), **fields)

    assert (decision.want, decision.target, decision.replicas) == (want, want, want)


def test_the_dispatch_limit_is_the_ceiling() -> None:
    decision = decided(load(30, 1500), rate_per_s=20.0)

    assert (decision.target, decision.reason) == (6, Reason.LIMITED_BY_RATE)


def test_backlog_alone_is_backlog_per_worker() -> None:
    decision = decided(
        load(0, 1500, busy_s=0.1), slots=1, drain_s=10.0, utilization=1.0, max_replicas=50
    )

    assert decision.target == 15


def test_workers_that_hold_long_tasks_are_held() -> None:
    of = policy(shrink=policy().shrink)
    quiet = [load(0, 0, running=3, busy_s=600.0) for _ in range(900)]

    kept = {decision.replicas for _, decision in played(quiet, of, fleet(3, pinned=3))}

    assert kept == {3}


@pytest.mark.parametrize("arrivals", [0, 3, 300])
def test_an_unknown_backlog_holds(arrivals: float) -> None:
    decision = decided(load(arrivals, None), 20)

    assert (decision.target, decision.replicas, decision.reason) == (20, 20, Reason.NO_SIGNAL)


@pytest.mark.parametrize(("waiting", "target"), [(44, 10), (45, 12)])
def test_without_a_service_time_it_is_slots_for_tasks_with_a_tolerance(
    waiting: int, target: int
) -> None:
    decision = decided(load(0, waiting, busy_s=None, samples=0), 10, slots=4)

    assert decision.target == target
