"""The query parameters of the list."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import uuid4

import pytest
from pydantic import ValidationError

from taskflow_api.tasks import queries
from taskflow_api.tasks.filters import SortName, TaskFilters
from taskflow_api.tasks.sorting import Sort


def conditions(**query: Any) -> dict[str, Any]:
    return TaskFilters.model_validate(query).conditions()


def test_nothing_is_filtered_by_default() -> None:
    assert conditions() == {}


def test_each_parameter_is_a_condition_that_the_query_knows() -> None:
    person = uuid4()

    found = conditions(
        status=["PENDING", "FAILED", "PENDING"],
        priority=["LOW", "HIGH"],
        owner_id=str(person),
        assignee_id=str(person),
        flow="emails",
        handler="emails.send",
        search="x",
        due_from="2030-01-01T00:00:00Z",
        due_to="2030-01-01T00:00:00Z",
        created_from="2030-01-01T00:00:00Z",
        created_to="2030-01-01T00:00:00Z",
        overdue=False,
    )

    assert set(found) == set(queries.FILTERS)
    assert found["status"] == ["FAILED", "PENDING"]
    assert found["priority"] == [0, 2]
    assert found["owner_id"] == person
    assert found["due_to"] == datetime(2030, 1, 1, tzinfo=UTC)
    assert found["overdue"] is False


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("a", "%a%"), ("50%", "%50\\%%"), ("a_b", "%a\\_b%"), ("\\", "%\\\\%"), ("\\%", "%\\\\\\%%")],
)
def test_a_search_is_for_its_text_and_nothing_cleverer(text: str, pattern: str) -> None:
    assert conditions(search=text) == {"search": pattern}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", ["DONE"]),
        ("status", ["PENDING"] * 11),
        ("priority", ["0"]),
        ("owner_id", "me"),
        ("flow", "a b"),
        ("handler", "x\x00"),
        ("search", ""),
        ("search", "\x00"),
        ("search", "x" * 201),
        ("due_from", "2030-01-01"),
        ("overdue", "maybe"),
        ("sort", "title"),
        ("sort", "--created_at"),
        ("limit", 0),
        ("limit", 101),
        ("limit", "x"),
        ("limit", "9" * 5_000),
        ("page", 0),
        ("total", "many"),
        ("offset", 1),
    ],
)
def test_anything_else_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TaskFilters.model_validate({name: value})

    assert {error["loc"][0] for error in refused.value.errors()} == {name}


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_every_sort_has_a_statement_with_the_parameters_its_position_gives(
    *, everything: bool, after: bool
) -> None:
    for text in get_args(SortName.__value__):
        sort = Sort.named(text)
        shape = queries.Shape(everything, frozenset(), sort, after=after, offset=False)

        names = set(queries.page(shape).names)

        keyed = sort.name != "created_at"
        assert ("after_key" in names) == (after and keyed)
        assert ("after_id" in names) == after
        assert ("me" in names) != everything
