"""Exponential back-off with full jitter."""

import math
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from taskflow_core.tasks.retry import DEFAULT_MAX_ATTEMPTS, RetryPolicy

policies = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    initial_s=st.floats(0.001, 60),
    factor=st.floats(1, 100),
    max_s=st.floats(0.001, 86_400),
)
attempts = st.integers(1, 10_000)


@given(policies, attempts)
def test_a_bound_is_finite_positive_and_never_over_the_maximum(
    policy: RetryPolicy, attempt: int
) -> None:
    bound = policy.bound_s(attempt)

    assert math.isfinite(bound)
    assert 0 < bound <= policy.max_s


@given(policies, attempts)
def test_bounds_never_shrink(policy: RetryPolicy, attempt: int) -> None:
    assert policy.bound_s(attempt) <= policy.bound_s(attempt + 1)


@given(policies, attempts, st.integers())
def test_a_pause_is_between_zero_and_its_bound(
    policy: RetryPolicy, attempt: int, seed: int
) -> None:
    pause = policy.pause_s(attempt, random.Random(seed).uniform)

    assert 0 <= pause <= policy.bound_s(attempt)


def test_the_jitter_is_full() -> None:
    asked: list[Any] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    assert RetryPolicy(initial_s=2, factor=3).pause_s(3, uniform) == 18
    assert asked == [(0.0, 18)]


def test_the_bound_doubles_from_one_second_to_five_minutes_by_default() -> None:
    policy = RetryPolicy()

    assert [policy.bound_s(attempt) for attempt in (1, 2, 3, 9, 10, 1_000_000)] == [
        *(1, 2, 4, 256),
        *(300, 300),
    ]
    assert policy.max_attempts == DEFAULT_MAX_ATTEMPTS


def test_pauses_of_a_herd_are_spread() -> None:
    uniform = random.Random(7).uniform
    pauses = [RetryPolicy().pause_s(6, uniform) for _ in range(1_000)]

    quarters = [sum(q * 8 <= pause < (q + 1) * 8 for pause in pauses) for q in range(4)]
    assert min(quarters) > 200
