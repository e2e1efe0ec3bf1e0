"""The table of allowed transitions."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskflow_core.tasks.states import (
    EXECUTABLE_TRANSITIONS,
    FINAL,
    PEOPLES_TRANSITIONS,
    EventType,
    Priority,
    TaskStatus,
    may_become,
)

S = TaskStatus
EXECUTABLE_ALLOWED = {
    (S.PENDING, S.IN_PROGRESS),
    (S.PENDING, S.CANCELLED),
    (S.IN_PROGRESS, S.COMPLETED),
    (S.IN_PROGRESS, S.FAILED),
    (S.IN_PROGRESS, S.CANCELLED),
    (S.IN_PROGRESS, S.PENDING),
    (S.FAILED, S.PENDING),
}


@pytest.mark.parametrize("table", [EXECUTABLE_TRANSITIONS, PEOPLES_TRANSITIONS])
def test_every_status_has_its_row(table: dict[TaskStatus, frozenset[TaskStatus]]) -> None:
    assert set(table) == set(TaskStatus)


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_a_workers_task_goes_only_the_ways_of_the_protocol(
    before: TaskStatus, after: TaskStatus
) -> None:
    allowed = (before, after) in EXECUTABLE_ALLOWED

    assert may_become(before, after, executable=True) == allowed


@pytest.mark.parametrize(("before", "after"), list(product(S, S)))
def test_people_move_their_tasks_freely_but_never_to_dead_letters(
    before: TaskStatus, after: TaskStatus
) -> None:
    allowed = before != after and S.FAILED not in {before, after}

    assert may_become(before, after, executable=False) == allowed


@given(st.lists(st.sampled_from(S), min_size=2, max_size=12))
def test_a_final_state_is_left_only_by_replay(path: list[TaskStatus]) -> None:
    steps = list(pairwise(path))
    walkable = all(may_become(a, b, executable=True) for a, b in steps)

    left = [(a, b) for a, b in steps if a in FINAL]

    assert not walkable or all(step == (S.FAILED, S.PENDING) for step in left)


def test_every_workers_task_can_still_end() -> None:
    reachable: dict[TaskStatus, set[TaskStatus]] = {status: {status} for status in S}
    for _ in S:
        for status in S:
            for after in EXECUTABLE_TRANSITIONS[status]:
                reachable[status] |= reachable[after]

    assert all(S.COMPLETED in reachable[status] for status in (S.PENDING, S.IN_PROGRESS, S.FAILED))
    assert reachable[S.COMPLETED] == {S.COMPLETED}
    assert reachable[S.CANCELLED] == {S.CANCELLED}


def test_urgent_work_sorts_first() -> None:
    assert sorted(Priority) == [Priority.HIGH, Priority.MEDIUM, Priority.LOW]


def test_events_are_named_for_tasks() -> None:
    assert all(event.value.startswith("task.") for event in EventType)
