"""What went wrong elsewhere, and is public: each report's situation, and what must happen instead."""

import math
from dataclasses import replace

import pytest

from taskflow_operator.scaling import Fleet, Load, Memory, Reason, decide
from tests.unit.taskflow_operator.scaling.cases import (
    LONG_AGO,
    NOW,
    carried_out,
    decided,
    fleet,
    load,
    played,
    policy,
)

TEN_MINUTES = 600


def test_a_long_task_that_left_the_queue_keeps_its_worker() -> None:
    """kedacore/keda#356: an empty queue killed the job that had emptied it, again and again."""
    history = played([load(0, 0, running=1, busy_s=900.0)] * 1200, policy(), fleet(1, pinned=1))

    assert {decision.replicas for _, decision in history} == {1}


def test_tasks_in_flight_count_although_nothing_is_visible() -> None:
    """kedacore/keda#1663: messages delivered and not acknowledged were nobody's."""
    history = played([load(0, 0, running=25)] * 1200, policy(), fleet(5, pinned=5))

    assert {decision.replicas for _, decision in history} == {5}


def test_of_ten_workers_the_busy_one_stays_until_it_is_done() -> None:
    """kedacore/keda#157, #6719: long tasks were killed when the backlog was gone."""
    history = list(played([load(0, 0, running=1)] * 1200, policy(), fleet(10, pinned=1)))

    assert history[-1][1].replicas == 1
    assert min(decision.replicas for _, decision in history) == 1


def test_a_producer_that_outruns_fast_readers_makes_it_grow() -> None:
    """kedacore/keda#2819, #3127: readers that acknowledge at once kept the signal at zero."""
    backlog = [load(50, 45 * second, running=1, busy_s=0.2) for second in range(1, 120)]

    history = list(played(backlog, policy(slots=1), fleet(1)))

    assert history[-1][1].target >= 10


def test_exactly_one_task_wakes_a_flow() -> None:
    """kedacore/keda#6478, #7835: a single message never woke the workload."""
    assert decided(load(0, 1), 0).target == 1
    assert decided(load(0, 1, busy_s=None, samples=0), 0).target == 1


@pytest.mark.parametrize("neighbour", [None, load(math.nan, math.nan), load(0, -1), load(0, 1e18)])
def test_a_flow_that_cannot_be_read_is_held_and_its_neighbours_are_not(
    neighbour: Load | None,
) -> None:
    """kedacore/keda#7447: one missing stream gave wrong counts to others, and grew without bound."""
    sick = decided(neighbour, 3)
    well = decided(load(30), 3)

    assert (sick.target, well.target) == (3, 8)


def test_steady_arrivals_do_not_make_a_saw() -> None:
    """kedacore/keda#1643: at 70 % of capacity the backlog is empty, and an empty backlog scaled in."""
    history = list(played([load(35)] * 1800, policy(), fleet(10)))  # 10 workers can do 50/s

    assert {decision.target for _, decision in history} == {10}


def test_an_outage_of_ten_minutes_takes_nothing_away() -> None:
    """kedacore/keda#965, #1850, #8036: an error was read as an empty queue."""
    outage: list[Load | None] = [None] * TEN_MINUTES

    history = list(played([load(30), *outage, load(30)], policy(), fleet(8)))

    assert {decision.replicas for _, decision in history} == {8}


def test_the_fallback_engages_when_there_was_never_a_reading() -> None:
    """kedacore/keda#7239, #8056: unreachable from the first poll, it was never counted as a failure."""
    history = list(played([None] * 120, policy(fallback=4), fleet(1), Memory()))

    assert history[-1][1].target == 4


def test_one_failed_reading_among_good_ones_changes_nothing() -> None:
    """kedacore/keda#6762, #7574: a blip, or an edit of the spec meanwhile, went to the minimum."""
    history = list(played([load(60), None, load(60)], policy(min_replicas=2), fleet(20)))
    assert {decision.target for _, decision in history} == {20}

    _, memory = decide(policy(), fleet(20), load(60), LONG_AGO, NOW)
    edited, _ = decide(policy(min_replicas=2), fleet(20), None, memory, NOW + 1)
    assert edited.target == 20


@pytest.mark.parametrize("waiting", [-1, -(10**9), 10**18, math.nan, math.inf])
def test_a_counter_that_cannot_be_changes_nothing(waiting: float) -> None:
    """kedacore/keda#7441, #7475, #7880: lag -1 read as empty, an overflow as a mountain, NaN as both."""
    decision = decided(load(30, waiting), 20)

    assert (decision.target, decision.reason) == (20, Reason.INCREDIBLE_SIGNAL)


def test_workers_that_cannot_be_scheduled_are_not_bought_again() -> None:
    """kedacore/keda#1323: pending pods were counted twice while the backlog stayed."""
    workers, memory, targets = fleet(4), LONG_AGO, []
    for second in range(TEN_MINUTES):
        now = NOW + second
        stuck = load(30, 1500, at=now, oldest_wait_s=second)
        decision, memory = decide(policy(), workers, stuck, memory, now)
        workers = replace(carried_out(workers, decision), working=4)
        targets.append(decision.target)

    most = decided(load(30, 1500, oldest_wait_s=float(TEN_MINUTES)), 4).want
    assert max(targets) == most


def test_a_thousand_flows_that_get_one_task_each_all_wake_in_one_round() -> None:
    """kedacore/keda#3810, #6063: minutes of delay at about a thousand objects."""
    decisions = [decided(load(0, 1), 0) for _ in range(1100)]

    assert {decision.target for decision in decisions} == {1}


def test_a_small_backlog_is_not_stuck_inside_the_tolerance() -> None:
    """kubernetes/kubernetes#116984: 41 to 44 tasks for 10 pods of 4 waited for ever."""
    at_first = load(0, 44, busy_s=None, samples=0)
    held = decided(at_first, 10, slots=4)
    assert held.target == 10

    late = replace(at_first, oldest_wait_s=61.0)
    assert decided(late, 10, slots=4).target > 10


def test_silence_after_a_burst_does_not_cancel_what_the_burst_bought() -> None:
    """knative/serving#3153: leaving panic undid a plan of a thousand pods."""
    of = policy(slots=1, max_replicas=1000, drain_s=60.0)
    burst = [load(0, 30_000)] * 5 + [load(0, 0, running=900)] * 6

    history = list(played(burst, of, fleet(0)))

    assert history[-1][1].target == history[4][1].target > 900


def test_an_autoscaler_that_starts_without_a_reading_keeps_what_runs() -> None:
    """knative/serving#2705, #3771: no metric after a restart meant the minimum."""
    history = list(played([None] * 30 + [load(0)] * 30, policy(), fleet(40), Memory()))

    assert {decision.target for _, decision in history} == {40}


def test_four_long_tasks_get_four_slots_however_late_they_are() -> None:
    """numaproj/numaflow#630: 4 tasks of 7 minutes were answered with 73 pods."""
    late = load(0.002, 4, busy_s=420.0, oldest_wait_s=300.0)

    assert decided(late, 0, slots=1, max_replicas=100).want == 6  # 2 for what arrives


def test_a_fast_reader_with_an_empty_queue_is_not_idle() -> None:
    """numaproj/numaflow#1960: busy, but nothing pending, went to zero."""
    history = played([load(0, 0, running=3)] * 900, policy(), fleet(1, pinned=1))

    assert {decision.replicas for _, decision in history} == {1}


def test_pending_workers_are_counted_as_workers_when_it_shrinks() -> None:
    """dask/dask-kubernetes#659: while half of them were pending, those that ran were killed."""
    half = Fleet(10, pinned=5, working=5)

    decision = decided(load(0, 0, running=5), half)

    assert (decision.target, decision.replicas) == (5, 5)


def test_a_number_that_somebody_else_sets_is_met_from_what_is_seen() -> None:
    """dask/dask-kubernetes#677: a timer and an edit fought each other."""
    workers, memory = fleet(8), LONG_AGO
    changes = []
    for second in range(120):
        now = NOW + second
        if second == 10:
            workers = fleet(3)  # kubectl scale
        decision, memory = decide(policy(), workers, load(30, at=now), memory, now)
        changes += [second] if decision.target != decision.current else []
        workers = carried_out(workers, decision)

    assert changes == [10]
    assert workers.replicas == 8
