"""Durations, shares and quantities, as people write them."""

from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from taskflow_operator.resources.quantities import (
    Duration,
    Quantity,
    Share,
    Step,
    between,
    part_of,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1m500ms", 60.5),
        ("99999h", 99999 * 3600),
    ],
)
def test_a_duration_knows_its_seconds(text: str, seconds: float) -> None:
    assert Duration(text).seconds == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1.5s", "-1s", "1 m", "1d", "1H", "100000s", "1s1s1s1s1s", "5m\n", "٣s"]
)
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="write one such as 90s, 5m or 1h30m"):
        Duration(text)


def test_a_duration_stays_as_it_was_written() -> None:
    adapter = TypeAdapter(Duration)

    assert adapter.dump_json(adapter.validate_python("300s")) == b'"300s"'


@given(st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from("hms")), min_size=1, max_size=4))
def test_the_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)

    assert Duration(text).seconds == sum(Duration(f"{n}{unit}").seconds for n, unit in parts)


@pytest.mark.parametrize("value", ["1s", "60s", "1m", "24h", "1440m"])
def test_bounds_are_included(value: str) -> None:
    adapter: TypeAdapter[Duration] = TypeAdapter(Annotated[Duration, between("1s", "24h")])

    assert adapter.validate_python(value) == value


@pytest.mark.parametrize("value", ["0s", "999ms", "25h", "24h1s"])
def test_out_of_bounds_is_refused_with_the_bounds(value: str) -> None:
    adapter: TypeAdapter[Duration] = TypeAdapter(Annotated[Duration, between("1s", "24h")])

    with pytest.raises(ValidationError, match="must be between 1s and 24h"):
        adapter.validate_python(value)


@pytest.mark.parametrize("value", [1, 7, "1%", "50%", "100%"])
def test_a_step_is_a_number_or_a_percentage(value: int | str) -> None:
    assert TypeAdapter(Step).validate_python(value) == value


@pytest.mark.parametrize("value", [0, -1, "0%", "101%", "050%", "50", "half", 0.5, True, None, []])
def test_a_step_is_nothing_else(value: object) -> None:
    with pytest.raises(ValidationError, match="write a number such as 2, or 1% to 100%"):
        TypeAdapter(Step).validate_python(value)


@pytest.mark.parametrize("value", [2, "0.5", "500m", "1Gi", "128974848"])
def test_a_quantity_is_kubernetes_own(value: int | str) -> None:
    assert TypeAdapter(Quantity).validate_python(value) == value


@pytest.mark.parametrize("value", [0.5, "1 Gi", "-1", "1GB", ""])
def test_a_quantity_that_the_api_server_refuses_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match="write one such as"):
        TypeAdapter(Quantity).validate_python(value)


@pytest.mark.parametrize(
    ("share", "whole", "part"),
    [("10%", 30, 3), ("10%", 39, 3), ("10%", 5, 0), ("100%", 7, 7), ("50%", 1, 0), (4, 2, 4)],
)
def test_a_part_of_a_whole_is_rounded_down(share: Share, whole: int, part: int) -> None:
    assert part_of(share, whole) == part
