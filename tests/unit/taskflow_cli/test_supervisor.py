"""Pauses between starts, and how an end is told."""

import pytest

from taskflow_cli.local.supervisor import Backoff, how_it_ended


def test_pauses_grow_and_stay_bounded() -> None:
    backoff = Backoff(initial_s=0.5, factor=2, max_s=30)

    assert [backoff.pause_s(n) for n in (1, 2, 3, 7, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-60, "killed by signal 60"),
    ],
)
def test_an_end_is_told_by_code_or_signal(code: int, said: str) -> None:
    assert how_it_ended(code) == said
