"""Who goes first when a flow shrinks."""

import itertools

import pytest

from taskflow_operator.victims import Worker, deletion_cost, first_to_go

IN_ORDER = [
    Worker("starting", ready=False),
    Worker("idle-draining", draining=True),
    Worker("idle"),
    Worker("draining-young", draining=True, busy=20, oldest_running_s=1),
    Worker("draining-old", draining=True, busy=1, oldest_running_s=3_600),
    Worker("busy-young", busy=9, oldest_running_s=2),
    Worker("busy-old", busy=1, oldest_running_s=600),
]


def test_those_with_the_least_to_lose_go_first() -> None:
    names = [worker.name for worker in IN_ORDER]

    assert first_to_go(reversed(IN_ORDER)) == names


@pytest.mark.parametrize(("first", "second"), list(itertools.pairwise(IN_ORDER)))
def test_each_costs_less_than_the_next(first: Worker, second: Worker) -> None:
    assert deletion_cost(first) < deletion_cost(second)


def test_equals_go_by_name_so_that_two_rounds_choose_the_same() -> None:
    assert first_to_go([Worker("b"), Worker("c"), Worker("a")]) == ["a", "b", "c"]


def test_ten_workers_of_which_one_is_busy_for_ten_minutes() -> None:
    workers = [Worker(f"w{nth}") for nth in range(9)]
    busy = Worker("a-busy", busy=1, oldest_running_s=600)

    assert first_to_go([busy, *workers])[-1] == "a-busy"


@pytest.mark.parametrize("age_s", [0, 1e3, 1e9])
def test_a_cost_fits_the_annotation(age_s: float) -> None:
    worker = Worker("w", busy=5000, oldest_running_s=age_s)

    assert 0 <= deletion_cost(worker) < 2**31
