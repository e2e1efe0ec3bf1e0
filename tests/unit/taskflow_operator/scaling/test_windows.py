"""The highest and lowest of a window, against looking at everything."""

from hypothesis import given
from hypothesis import strategies as st

from taskflow_operator.scaling.windows import Highest, Lowest


@given(st.lists(st.tuples(st.floats(0, 50), st.integers(0, 9))), st.floats(0, 100))
def test_it_is_what_looking_at_everything_finds(
    steps: list[tuple[float, int]], window_s: float
) -> None:
    highest, lowest, now, seen = Highest(), Lowest(), 0.0, []
    for pause, value in steps:
        now += pause
        seen.append((now, value))
        highest = highest.see(now, value, window_s)
        lowest = lowest.see(now, value, window_s)

        within = [value for at, value in seen if at >= now - window_s]
        assert (highest.value, lowest.value) == (max(within), min(within))


def test_a_long_window_of_few_values_is_a_few_entries() -> None:
    window = Highest()
    for second in range(100_000):
        window = window.see(second, 10 + second % 5, 3_600)

    assert len(window.entries) <= 5
