"""No reading, an old one, or one that cannot be: nothing is taken away."""

import math
from dataclasses import replace
from typing import Any

import pytest

from taskflow_operator.scaling import Fleet, Load, Memory, Reason, decide
from tests.unit.taskflow_operator.scaling.cases import (
    LONG_AGO,
    NOW,
    decided,
    fleet,
    load,
    played,
    policy,
)

INCREDIBLE = [math.nan, math.inf, -math.inf, -1.0, 1e18, 10**18]
FIELDS = [
    *("waiting", "running", "arrivals_per_s", "busy_s", "oldest_wait_s", "start_s", "done_per_s"),
    *("expected_s", "samples"),
]


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (None, Reason.NO_SIGNAL),
        (load(0, None), Reason.NO_SIGNAL),
        (load(0, at=NOW - 11), Reason.STALE_SIGNAL),
        (load(0, -1), Reason.INCREDIBLE_SIGNAL),
        (load(0, math.nan), Reason.INCREDIBLE_SIGNAL),
    ],
)
def test_it_holds_and_says_why(at: Load | None, reason: Reason) -> None:
    decision = decided(at, 20)

    assert (decision.target, decision.replicas, decision.reason) == (20, 20, reason)


@pytest.mark.parametrize("number", INCREDIBLE)
@pytest.mark.parametrize("field", FIELDS)
def test_one_number_that_cannot_be_makes_the_whole_reading_unbelievable(
    field: str, number: Any
) -> None:
    broken = replace(load(0, 0), **{field: number})

    decision = decided(broken, 20)

    assert (decision.target, decision.replicas) == (20, 20)
    assert decision.reason is Reason.INCREDIBLE_SIGNAL


def test_a_reading_of_ten_seconds_ago_is_still_news() -> None:
    assert decided(load(30, at=NOW - 10), 2).target == 8


def test_a_clock_that_is_ahead_does_not_make_news_old() -> None:
    assert decided(load(30, at=NOW + 5), 2).target == 8


def quiet(seconds: int, **fields: Any) -> list[tuple[float, int, Reason]]:
    history = played([None] * seconds, policy(**fields), fleet(6))
    return [(at - NOW, decision.target, decision.reason) for at, decision in history]


def test_after_its_time_the_fallback_grows_the_flow() -> None:
    history = quiet(100, fallback=15, stale_after_s=60.0)

    assert history[:60] == [(float(at), 6, Reason.NO_SIGNAL) for at in range(60)]
    assert history[60:] == [(float(at), 15, Reason.FALLBACK) for at in range(60, 100)]


@pytest.mark.parametrize("fallback", [None, 1, 6])
def test_the_fallback_never_shrinks(fallback: int | None) -> None:
    assert {target for _, target, _ in quiet(700, fallback=fallback)} == {6}


def test_the_fallback_stays_within_the_maximum() -> None:
    assert quiet(100, fallback=15, max_replicas=9)[-1][1] == 9


def test_the_fallback_engages_where_there_never_was_news() -> None:
    history = list(played([None] * 61, policy(fallback=3), fleet(0), Memory()))

    assert history[59][1].target == 0
    assert (history[60][1].target, history[60][1].reason) == (3, Reason.FALLBACK)


def test_a_single_reading_begins_the_time_anew() -> None:
    loads = [None] * 59 + [load(22)] + [None] * 59

    history = list(played(loads, policy(fallback=15), fleet(6)))

    assert {decision.target for _, decision in history} == {6}


def test_those_that_drain_are_not_removed_while_nobody_knows_what_they_hold() -> None:
    decision = decided(None, Fleet(10, draining=4))

    assert (decision.target, decision.replicas) == (6, 10)


def test_a_suspended_flow_is_not_emptied_while_nobody_knows_who_is_busy() -> None:
    decision = decided(None, fleet(7), suspended=True, fallback=20)

    assert (decision.target, decision.replicas) == (7, 7)


def test_a_minimum_raised_meanwhile_is_in_force() -> None:
    assert decided(None, 2, min_replicas=5).target == 5


def test_a_maximum_lowered_meanwhile_waits_for_news() -> None:
    assert decided(None, 20, max_replicas=5).target == 20


def test_after_an_outage_what_runs_is_not_taken_away_at_once() -> None:
    loads = [None] * 600 + [load(0)] * 400

    history = list(played(loads, policy(), fleet(20)))

    first = next(at for at, decision in history if decision.target < 20)
    assert first - NOW >= 600 + 300


def test_deciding_leaves_what_it_was_given_alone() -> None:
    before = LONG_AGO
    decide(policy(), fleet(3), load(30, 100), before, NOW)

    assert before == Memory(since=NOW - 3_600, heard_at=NOW)
