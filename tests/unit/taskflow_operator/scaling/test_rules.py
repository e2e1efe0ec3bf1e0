"""Growing at once, shrinking late, and not for a trifle."""

import itertools
from dataclasses import replace

import pytest

from taskflow_operator.scaling import Bound, Decision, Fleet, Load, Memory, Pace, Reason, decide
from tests.unit.taskflow_operator.scaling.cases import (
    LONG_AGO,
    NOW,
    decided,
    fleet,
    load,
    played,
    policy,
)


def cold(waiting: float, running: float = 0.0) -> Load:
    return load(0, waiting, running=running, busy_s=None, samples=0)


def targets(decisions: list[tuple[float, Decision]]) -> list[int]:
    """Return the targets in turn, each once."""
    return [target for target, _ in itertools.groupby(decision.target for _, decision in decisions)]


# --- growing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrivals", "waiting", "reason"),
    [
        (30, 0, Reason.ARRIVALS),
        (0, 1500, Reason.BACKLOG),
        (30, 1500, Reason.BACKLOG_AND_ARRIVALS),
    ],
)
def test_a_growth_says_what_it_is_for(arrivals: float, waiting: float, reason: Reason) -> None:
    assert decided(load(arrivals, waiting), 2).reason is reason


@pytest.mark.parametrize(("current", "target"), [(8, 8), (7, 8), (0, 8)])
def test_it_grows_when_more_than_a_tenth_is_missing(current: int, target: int) -> None:
    assert decided(load(30), current).target == target


def test_a_tenth_more_is_not_worth_a_change() -> None:
    decision = decided(load(41), 10)  # 10.9 wanted

    assert (decision.want, decision.target) == (11, 10)
    assert decision.bounds == {Bound.TOLERANCE}


def test_it_grows_within_the_tolerance_when_the_oldest_is_overdue() -> None:
    assert decided(load(41, 1, oldest_wait_s=61), fleet(10, working=9)).target == 11


def test_more_slots_than_tasks_help_nobody() -> None:
    late = load(0, 4, busy_s=420.0, oldest_wait_s=300.0)

    assert decided(late, fleet(0), slots=1).want == 4


def test_the_time_that_workers_take_to_start_is_bought_too() -> None:
    assert decided(load(0, 1500), 1).want == 5
    assert decided(load(0, 1500, start_s=30.0), 1).want == 10


def test_the_older_the_backlog_the_more_it_takes() -> None:
    assert decided(load(0, 1500, oldest_wait_s=30.0), 1).want == 10


def test_a_backlog_past_its_deadline_is_given_a_quarter_of_the_time() -> None:
    assert decided(load(0, 1500, oldest_wait_s=600.0), fleet(50)).want == 20


def test_the_maximum_is_the_maximum() -> None:
    decision = decided(load(300), 3, max_replicas=20)

    assert (decision.target, decision.reason) == (20, Reason.AT_MAXIMUM)
    assert decision.bounds == {Bound.MAX_REPLICAS}


def test_the_concurrency_limit_is_a_ceiling_before_tasks_are_known() -> None:
    decision = decided(cold(3000), 4, max_concurrent=45)

    assert (decision.target, decision.reason) == (5, Reason.LIMITED_BY_CONCURRENCY)
    assert decision.bounds == {Bound.CONCURRENCY}


def test_a_ceiling_leaves_one_worker() -> None:
    assert decided(load(30, 100), 0, rate_per_s=0.001).target == 1
    assert decided(load(30, 100), 0, max_concurrent=1).target == 1


def test_the_minimum_stands_above_a_ceiling() -> None:
    assert decided(load(30, 100), 4, rate_per_s=0.001, min_replicas=4).target == 4


def test_a_raised_minimum_is_in_force_at_once() -> None:
    decision = decided(load(0), 2, min_replicas=5, grow=Pace(600.0, 1, 60.0))

    assert (decision.target, decision.reason) == (5, Reason.AT_MINIMUM)


def test_growing_waits_for_the_lowest_of_its_stabilization() -> None:
    of = policy(grow=Pace(30.0, None, 15.0))
    loads = [load(15)] * 10 + [load(75)] * 60

    history = list(played(loads, of, fleet(4)))

    grown = next(at for at, decision in history if decision.target > 4)
    assert grown - NOW == 10 + 30
    assert history[-1][1].target == 20


def test_an_idle_flow_wakes_whatever_its_stabilization() -> None:
    of = policy(grow=Pace(30.0, None, 15.0))

    history = list(played([load(0)] * 60 + [load(0, 500)], of, fleet(0)))

    assert targets(history) == [0, 1]


def test_growing_keeps_its_pace() -> None:
    of = policy(grow=Pace(0.0, "100%", 15.0))

    history = list(played([load(150)] * 60, of, fleet(3)))

    assert targets(history) == [6, 12, 24, 40]
    assert {d.reason for at, d in history if d.target == d.current == 6} == {Reason.PACED}
    changed = [at - NOW for at, decision in history if decision.target != decision.current]
    assert changed == [0, 15, 30, 45]


# --- unknown flows ------------------------------------------------------------------------------


def test_an_unknown_flow_gets_slots_for_its_tasks() -> None:
    decision = decided(cold(25, running=5), 1)

    assert (decision.target, decision.reason) == (3, Reason.COLD)


def test_an_unknown_flow_doubles_every_five_seconds_at_most() -> None:
    history = list(played([cold(3000)] * 25, policy(), fleet(0)))

    assert targets(history) == [4, 8, 16, 32, 50]
    changed = [at - NOW for at, decision in history if decision.target != decision.current]
    assert changed == [0, 5, 10, 15, 20]
    assert Bound.COLD_START in history[0][1].bounds
    assert history[0][1].reason is Reason.COLD


def test_the_first_task_does_not_use_up_the_first_four_workers() -> None:
    history = list(played([cold(1), cold(100)], policy(), fleet(0)))

    assert targets(history) == [1, 4]


def test_a_declared_duration_is_believed_before_anything_is_measured() -> None:
    declared = replace(cold(1500), expected_s=2.0)

    decision = decided(declared, 1)

    assert (decision.target, decision.reason) == (5, Reason.BACKLOG)


@pytest.mark.parametrize(("samples", "want"), [(19, 150), (20, 5)])
def test_a_mean_is_believed_from_twenty_samples(samples: int, want: int) -> None:
    assert decided(load(0, 1500, samples=samples), 0).want == want


# --- overdue ------------------------------------------------------------------------------------


def test_when_the_oldest_is_overdue_and_no_more_is_wanted_it_grows_by_a_fifth() -> None:
    decision = decided(load(30, 40, oldest_wait_s=61.0), 20)

    assert (decision.target, decision.reason) == (24, Reason.OVERDUE)


def test_the_next_fifth_waits_until_the_last_ones_work() -> None:
    late = load(30, 40, oldest_wait_s=61.0, start_s=20.0)

    history = list(played([late] * 41, policy(), fleet(20)))

    changed = [at - NOW for at, decision in history if decision.target != decision.current]
    assert changed == [0, 20, 40]


def test_no_fifth_is_bought_while_bought_ones_have_not_started() -> None:
    assert decided(load(30, 40, oldest_wait_s=61.0), fleet(20, working=19)).target == 20


def test_no_fifth_is_bought_for_workers_that_make_no_progress() -> None:
    assert decided(load(30, 40, oldest_wait_s=61.0, progress=False), 20).target == 20


def test_while_the_oldest_is_overdue_nothing_is_taken_away() -> None:
    late = load(3, 1, oldest_wait_s=61.0)

    history = list(played([late] * 400, policy(), fleet(20, working=0)))

    assert min(decision.target for _, decision in history) >= 20


def test_what_the_limiter_starves_is_taken_away_however_late_it_is() -> None:
    late = load(30, 4000, oldest_wait_s=600.0)

    history = list(played([late] * 400, policy(rate_per_s=20.0), fleet(20)))

    assert history[-1][1].target == 6


def test_no_fifth_is_bought_beyond_what_the_limiter_feeds() -> None:
    late = load(30, 4000, oldest_wait_s=600.0)

    decision = decided(late, 6, rate_per_s=20.0)

    assert (decision.target, decision.reason) == (6, Reason.LIMITED_BY_RATE)


# --- shrinking ----------------------------------------------------------------------------------


def shrink(loads: list[Load], start: int, **fields: object) -> list[tuple[float, Decision]]:
    return list(played(loads, policy(**fields), fleet(start)))


def test_it_shrinks_to_what_arrivals_of_five_minutes_needed() -> None:
    history = shrink([load(60)] * 10 + [load(15)] * 400, 16)

    changed = [(at - NOW, d.target) for at, d in history if d.target != d.current]
    assert changed == [(310, 8), (340, 4)]
    held = {d.reason for at, d in history if 20 < at - NOW < 300}
    assert held == {Reason.STABILIZING}


def test_what_a_backlog_needed_is_kept_for_a_minute_only() -> None:
    history = shrink([load(15, 3000)] * 10 + [load(15)] * 200, 14)

    changed = [(at - NOW, d.target) for at, d in history if d.target != d.current]
    assert changed == [(70, 7), (100, 4)]


def test_it_shrinks_by_half_every_thirty_seconds_at_most() -> None:
    history = shrink([load(0)] * 240, 40, shrink=Pace(60.0, "50%", 30.0))

    changed = [(at - NOW, d.target) for at, d in history if d.target != d.current]
    assert changed == [(0, 20), (30, 10), (60, 5), (90, 3), (120, 2), (150, 1), (180, 0)]
    assert history[-1][1].reason is Reason.STEADY
    assert history[180][1].reason is Reason.IDLE


def test_a_fifth_less_is_not_worth_a_change() -> None:
    assert decided(load(30), 10).target == 10
    assert decided(load(30), 11).target == 8


def test_the_last_worker_goes_whatever_the_tolerance() -> None:
    assert decided(load(0), 1).target == 0


@pytest.mark.parametrize(("arrivals", "waiting", "running"), [(0.01, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_the_last_worker_stays_while_there_is_anything(
    arrivals: float, waiting: float, running: float
) -> None:
    assert decided(load(arrivals, waiting, running=running), 1).target == 1


def test_it_shrinks_no_further_than_the_minimum() -> None:
    history = shrink([load(0)] * 500, 9, min_replicas=3)

    assert history[-1][1].target == 3
    assert history[-1][1].reason is Reason.AT_MINIMUM


def test_a_lowered_maximum_is_in_force_at_once_but_cuts_nobody_short() -> None:
    decision = decided(load(300), fleet(20, pinned=15), max_replicas=10)

    assert (decision.target, decision.replicas, decision.draining) == (10, 15, 5)


def test_whoever_is_to_go_first_finishes_what_he_holds() -> None:
    decision = decided(load(0, 0, running=4), fleet(10, pinned=8))

    assert (decision.target, decision.replicas, decision.draining) == (5, 8, 3)
    assert Bound.BUSY_WORKERS in decision.bounds


def test_nobody_is_removed_while_all_are_busy() -> None:
    decision = decided(load(0, 0, running=10), fleet(10, pinned=10))

    assert (decision.target, decision.replicas, decision.draining) == (5, 10, 5)
    assert decision.reason is Reason.BUSY_WORKERS


def test_who_drains_goes_as_soon_as_he_is_idle_and_without_a_new_step() -> None:
    first, memory = decide(policy(), fleet(10, pinned=10), load(running=10), LONG_AGO, NOW)
    later = Fleet(first.replicas, draining=first.draining, pinned=7, working=5)

    second, _ = decide(policy(), later, load(running=7, at=NOW + 1), memory, NOW + 1)

    assert (second.current, second.target, second.replicas) == (5, 5, 7)


def test_who_drains_takes_work_again_when_work_comes() -> None:
    draining = Fleet(10, draining=5, pinned=10, working=5)

    decision = decided(load(30), draining)

    assert (decision.current, decision.target) == (5, 8)
    assert (decision.replicas, decision.draining) == (10, 2)


def test_a_young_flow_keeps_what_it_has_until_five_minutes_have_been_seen() -> None:
    young = Memory(since=NOW - 100, heard_at=NOW)

    history = list(played([load(15)] * 300, policy(), fleet(12), young))

    first = next(at for at, decision in history if decision.target < 12)
    assert first - NOW == 200


def test_a_young_flow_that_nothing_arrives_at_is_not_kept() -> None:
    young = Memory(since=NOW - 100, heard_at=NOW)

    assert decided(load(0), 12, memory=young).target == 6


def test_a_new_operator_takes_nothing_away_before_it_knows() -> None:
    history = list(played([load(0)] * 400, policy(), fleet(12), Memory()))

    first = next(at for at, decision in history if decision.target < 12)
    assert first - NOW == 301


def test_what_is_partly_unknown_takes_nothing_away_and_still_wakes() -> None:
    assert decided(load(None, 0), 12).target == 12
    assert decided(load(0, 0, running=None), 12).target == 12
    assert decided(load(None, 1, running=None), 0).target == 1


# --- modes --------------------------------------------------------------------------------------


def test_shadow_says_what_it_would_do() -> None:
    decision = decided(load(30), 2, mode="Shadow")

    assert (decision.target, decision.enforced) == (8, False)
    assert decided(load(30), 2).enforced


def test_off_leaves_the_number_alone_and_nobody_draining() -> None:
    decision = decided(load(300), Fleet(7, draining=3, pinned=7), mode="Off")

    assert (decision.target, decision.replicas, decision.draining) == (7, 7, 0)
    assert (decision.reason, decision.enforced) == (Reason.OFF, False)


def test_a_suspended_flow_goes_to_zero_as_its_workers_finish() -> None:
    decision = decided(load(300, 900), fleet(7, pinned=4), suspended=True, min_replicas=2)

    assert (decision.target, decision.replicas, decision.draining) == (0, 4, 4)
    assert decision.reason is Reason.SUSPENDED


def test_a_flow_that_goes_on_grows_again() -> None:
    of = policy(suspended=True)
    decision, memory = decide(of, fleet(7), load(30), LONG_AGO, NOW)
    assert decision.target == 0

    again, _ = decide(policy(), fleet(0), load(30, 100, at=NOW + 1), memory, NOW + 1)

    assert again.target == 9
