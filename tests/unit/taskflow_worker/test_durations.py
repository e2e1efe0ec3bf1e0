"""Durations as people write them."""

from datetime import timedelta

import pytest

from taskflow_worker.durations import seconds


@pytest.mark.parametrize(
    ("written", "meant_s"),
    [
        ("30s", 30),
        ("500ms", 0.5),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("2d", 172_800),
        (0, 0),
        (2.5, 2.5),
        (timedelta(minutes=2), 120),
    ],
)
def test_a_duration_is_read_as_people_mean_it(written: str | float, meant_s: float) -> None:
    assert seconds(written) == pytest.approx(meant_s)


@pytest.mark.parametrize(
    "wrong",
    ["", "30", "s", "30 s", "-5s", "1h-30m", "five", "30S", "1e3s", -1, float("nan"), float("inf")],
)
def test_what_is_no_duration_is_refused_with_how_to_write_it(wrong: str | float) -> None:
    with pytest.raises(ValueError, match=r"must be (written like|between)"):
        seconds(wrong)


@pytest.mark.parametrize("wrong", [True, None, [], b"30s"])
def test_what_is_not_even_of_the_kind_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="30s"):
        seconds(wrong)  # type: ignore[arg-type]  # the point of the test


def test_more_than_a_year_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="366 days"):
        seconds("9999d")
