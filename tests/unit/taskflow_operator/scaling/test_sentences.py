"""Decisions in words."""

from typing import Any

import pytest

from taskflow_operator.scaling import Fleet, Memory, decide
from taskflow_operator.scaling.sentences import number
from tests.unit.taskflow_operator.scaling.cases import LONG_AGO, NOW, decided, fleet, load, policy


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.018, "0.018"), (0.9, "0.9"), (3, "3"), (3.46, "3.5"), (41.3, "41"), (2310, "2,310")],
)
def test_a_number_has_as_many_digits_as_it_deserves(value: float, text: str) -> None:
    assert number(value) == text


def test_a_growth_says_from_which_numbers() -> None:
    grown = decided(load(41, 2310, busy_s=0.9), 3, slots=20)

    assert grown.message == (
        "3 → 5: 41 arrivals/s × 0.9 s busy + 2,310 waiting to drain in 60 s want 5 of 20 slots each"
    )


def test_a_hold_says_that_it_stays() -> None:
    assert decided(load(30), 9).message == (
        "9 stay: 30 arrivals/s × 2 s busy want 8 of 10 slots each; too little to change for"
    )
    assert decided(load(3), 1).message.startswith("1 stays: 3 arrivals/s")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("dispatch limit 20/s keeps 6 busy", {"rate_per_s": 20.0}),
        ("maxConcurrent 45 fills 5", {"max_concurrent": 45}),
        ("maxReplicas is 4", {"max_replicas": 4}),
    ],
)
def test_a_limit_says_which_one_is_the_bound(words: str, fields: dict[str, Any]) -> None:
    assert decided(load(300, 9000), 2, **fields).message.endswith(f"; {words}")


def test_the_minimum_says_that_it_is_why() -> None:
    assert decided(load(0), 3, min_replicas=3).message == (
        "3 stay: nothing arrives, waits or runs; minReplicas is 3"
    )


def test_an_unknown_flow_says_that_it_is_unknown() -> None:
    decision = decided(load(0, 3000, busy_s=None, samples=0), 0)

    assert decision.message == (
        "0 → 4: 3,000 waiting and 0 running, for a time not yet known, want 300 of 10 slots each;"
        " an unknown flow doubles at most, every 5 s"
    )


def test_the_overdue_says_how_long_the_oldest_has_waited() -> None:
    assert "; the oldest has waited 75 s" in decided(load(30, 9, oldest_wait_s=75.0), 20).message


def test_a_shrink_says_its_pace_and_who_stays_to_finish() -> None:
    decision = decided(load(0, 0, running=9), fleet(12, pinned=9))

    assert decision.message == (
        "12 → 6: 9 running want 1 of 10 slots each; at most 50% every 30 s;"
        " 9 remain until they are done, 9 hold tasks"
    )


def test_a_hold_for_stability_says_how_far_back_it_looks() -> None:
    _, memory = decide(policy(), fleet(9), load(45, at=NOW - 9), LONG_AGO, NOW - 9)

    assert decided(load(15), 12, memory).message.endswith("; the last 300 s needed more")


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (None, "the queue cannot be read"),
        (load(0, -1), "what the queue says cannot be"),
        (load(0, at=NOW - 60), "what the queue last said is too old"),
    ],
)
def test_without_news_it_says_what_is_wrong_and_what_comes(seen: object, words: str) -> None:
    quiet = Memory(since=NOW - 900, heard_at=NOW - 34)
    decision, _ = decide(policy(), fleet(20), seen, quiet, NOW)  # type: ignore[arg-type]  # parametrised

    assert decision.message == f"20 stay: {words}, no good news for 34 s; fallback after 60 s"
    assert decision.inputs == {"silentSeconds": 34.0}


@pytest.mark.parametrize(("fallback", "says"), [(None, "hold"), (5, "5 at least")])
def test_the_fallback_says_what_it_says(fallback: int | None, says: str) -> None:
    quiet = Memory(since=NOW - 900, heard_at=NOW - 75)

    decision, _ = decide(policy(fallback=fallback), fleet(20), None, quiet, NOW)

    assert decision.message == (
        f"20 stay: no news from the queue for 75 s; the fallback says {says}"
    )


def test_modes_say_how_to_change_them() -> None:
    assert "suspend: false" in decided(load(9), fleet(3, pinned=1), suspended=True).message
    assert 'is "Off"' in decided(load(9), Fleet(3), mode="Off").message
