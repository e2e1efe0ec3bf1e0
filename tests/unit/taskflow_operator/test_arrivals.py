"""Arrivals per second from buckets of two seconds."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskflow_core.queue.window import ARRIVALS_S, BUCKET_S
from taskflow_operator.arrivals import LONGER_S, arrivals_per_s

NOW = 100_001.0  # inside bucket 50,000
LAST = 49_999  # the last that is over


def steady(per_bucket: int, seconds: int = 600) -> dict[int, int]:
    return {LAST - nth: per_bucket for nth in range(seconds // 2)}


def rate(buckets: dict[int, int], drain_s: float = 60.0, since: float = 0.0) -> float:
    return arrivals_per_s(buckets, NOW, drain_s=drain_s, since=since)


def test_buckets_and_memory_are_the_queues_own() -> None:
    assert BUCKET_S == 2
    assert LONGER_S[-1] == ARRIVALS_S


def test_nothing_is_nothing() -> None:
    assert rate({}) == 0


def test_a_steady_rate_is_itself() -> None:
    assert rate(steady(60)) == 30


def test_the_bucket_that_is_not_over_does_not_count() -> None:
    assert rate(steady(60) | {LAST + 1: 10_000}) == 30


def test_a_burst_in_one_slice_does_not_move_it() -> None:
    assert rate(steady(40) | {LAST - 7: 3000}) == 20


def test_a_burst_into_an_idle_flow_is_no_rate() -> None:
    assert rate({LAST: 3000}) == 0
    assert rate({LAST - 3: 1500, LAST - 2: 1500}) == 0


def test_a_step_is_seen_when_it_fills_half_the_window() -> None:
    def stepped(seconds_ago: int, drain_s: float) -> float:
        return rate(steady(10) | steady(120, seconds_ago), drain_s)

    assert stepped(20, 60.0) == 5
    assert stepped(30, 60.0) == 32.5
    assert stepped(40, 60.0) == 60
    assert stepped(8, 10.0) == 60


@pytest.mark.parametrize(("drain_s", "seconds"), [(1, 12), (20, 12), (60, 60), (7200, 60)])
def test_the_window_is_drain_within_from_12_to_60_seconds(drain_s: float, seconds: int) -> None:
    only_just = steady(100, seconds // 2 + 2)  # more than half of it

    assert rate(only_just, drain_s) > 0
    assert rate(steady(100, seconds // 2 - 2), drain_s) < 50


def test_a_slow_flow_is_looked_at_for_longer() -> None:
    assert rate(steady(1)) == pytest.approx(0.5)  # 300 in ten minutes
    assert rate({bucket: 1 for bucket in steady(1) if bucket % 10 == 0}) == pytest.approx(0.05)


def test_a_few_arrivals_are_their_mean() -> None:
    assert rate({LAST - 20: 1, LAST - 200: 2}) == 3 / 600


def test_seven_arrivals_at_once_are_a_burst_and_no_rate() -> None:
    assert rate({LAST - 20: 6}) == 6 / 600
    assert rate({LAST - 20: 7}) == 0


def test_a_young_flow_is_looked_at_since_it_came_into_being() -> None:
    buckets = steady(60, 24)

    assert rate(buckets, since=NOW - 26) == 30
    assert rate(buckets, since=0.0) < 10


def test_a_flow_of_a_moment_is_looked_at_for_twelve_seconds() -> None:
    assert rate({LAST: 3}, since=NOW - 1) == 3 / 12
    assert rate({LAST: 3}, since=NOW + 5) == 3 / 12


@given(st.floats(2, 100), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_random_arrivals_are_measured_within_a_fifth(per_s: float, seed: int) -> None:
    chance = random.Random(seed)
    buckets: dict[int, int] = {}
    at = NOW - 602
    while (at := at + chance.expovariate(per_s)) < NOW:
        buckets[int(at // 2)] = buckets.get(int(at // 2), 0) + 1

    assert rate(buckets) == pytest.approx(per_s, rel=0.35 if per_s < 10 else 0.25)


@given(st.dictionaries(st.integers(LAST - 400, LAST + 2), st.integers(0, 10_000), max_size=60))
@settings(max_examples=60, deadline=None)
def test_more_of_the_same_is_proportionally_more(buckets: dict[int, int]) -> None:
    once = rate(steady(100) | {})
    many = {
        bucket: count + 100 for bucket, count in (dict.fromkeys(steady(1), 0) | buckets).items()
    }

    assert rate(many) >= once
