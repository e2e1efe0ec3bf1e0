"""How long a window should be, from how fast it drains."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskflow_core.queue.window import WINDOW_MAX
from taskflow_worker.dispatcher.pace import Pace

TICK_S = 0.15


def steady(rate: float, *, slots: int, over_s: float) -> Pace:
    """A window that is filled to its target every tick, by workers that take `rate` entries a second."""
    pace, length = Pace(), 0.0
    for tick in range(int(over_s / TICK_S)):
        length = max(0.0, length - rate * TICK_S)
        pace.saw(int(length), tick * TICK_S)
        length = max(length, pace.target(slots))
        pace.filled(int(length))
    return pace


def test_without_workers_a_small_window_is_kept_ready() -> None:
    assert Pace().target(0) == 100


def test_the_window_has_two_entries_for_each_slot_at_least() -> None:
    assert Pace().target(20) == 40


def test_it_never_grows_beyond_its_bound() -> None:
    assert Pace().target(5_000) == WINDOW_MAX
    assert steady(1e6, slots=20, over_s=3).target(20) == WINDOW_MAX


@pytest.mark.parametrize("rate", [200, 1_000, 4_000])
def test_it_holds_about_a_second_of_a_steady_drain(rate: float) -> None:
    assert steady(rate, slots=20, over_s=5).target(20) == pytest.approx(rate, rel=0.15)


def test_a_slow_drain_leaves_it_at_its_least() -> None:
    assert steady(10, slots=20, over_s=5).target(20) == 40


def test_workers_that_take_all_there_is_find_a_full_window_within_half_a_second() -> None:
    pace, now = Pace(), 0.0
    for _ in range(100):
        if pace.target(20) == WINDOW_MAX:
            break
        pace.saw(0, now)
        pace.filled(pace.target(20))
        now += 0.005
    assert now < 0.5


def test_it_shrinks_when_the_drain_has_ended() -> None:
    pace = steady(3_000, slots=20, over_s=5)
    for tick in range(10):
        pace.saw(pace.length, 100 + tick * TICK_S)

    assert pace.target(20) == 40


def test_entries_that_the_api_pushed_are_not_taken_for_a_negative_drain() -> None:
    pace = Pace()
    pace.saw(10, 0.0)
    pace.saw(500, TICK_S)

    assert pace.rate() == 0


def test_what_left_during_a_long_silence_is_spread_over_it() -> None:
    pace = Pace()
    pace.saw(0, 0.0)
    pace.filled(1_000)
    pace.saw(0, 10.0)

    assert pace.rate() == pytest.approx(100)


def test_a_window_found_more_than_half_empty_is_looked_at_again_at_once() -> None:
    pace = Pace()
    pace.saw(19, 0.0)
    pace.filled(40)

    assert pace.rest_s(40, TICK_S) == 0


def test_a_full_one_rests_until_a_quarter_of_it_has_gone() -> None:
    pace = Pace()
    pace.saw(0, 0.0)
    pace.filled(5_000)
    pace.saw(2_600, 0.25)  # 9,600 a second
    pace.filled(5_000)

    assert pace.rest_s(5_000, TICK_S) == pytest.approx(1_250 / 9_600)


def test_no_rest_is_longer_than_a_tick() -> None:
    assert steady(100, slots=500, over_s=5).rest_s(1_000, TICK_S) == TICK_S


@given(
    looks=st.lists(st.tuples(st.integers(0, 20_000), st.floats(0.001, 30)), max_size=30),
    slots=st.integers(0, 5_000),
)
def test_whatever_is_seen_the_target_and_the_rest_stay_within_their_bounds(
    looks: list[tuple[int, float]], slots: int
) -> None:
    pace = Pace()
    for now, (length, _) in zip(
        itertools.accumulate(pause for _, pause in looks), looks, strict=True
    ):
        pace.saw(length, now)
        target = pace.target(slots)
        pace.filled(max(length, target))

        assert min(2 * slots or 100, WINDOW_MAX) <= target <= WINDOW_MAX
        assert 0 <= pace.rest_s(target, TICK_S) <= TICK_S
        assert len(pace._looks) <= len(looks)


def test_only_a_second_of_looks_is_remembered() -> None:
    pace = Pace()
    for tick in range(10_000):
        pace.saw(0, tick * 0.01)

    assert len(pace._looks) < 110
