"""What a body may say."""

from typing import Any

import pytest
from pydantic import ValidationError

from taskflow_api.tasks.schemas import TaskAssign, TaskCreate, TaskPatch, TaskRead
from taskflow_core.models import Task


def fields_of(error: ValidationError) -> set[object]:
    return {problem["loc"][0] for problem in error.errors()}


def test_a_title_is_all_that_a_task_needs() -> None:
    task = TaskCreate(title="x")

    assert (task.priority, task.flow, task.handler) == ("MEDIUM", "default", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "  "),
        ("title", "x" * 201),
        ("title", "two\nlines"),
        ("title", "nul\x00"),
        ("title", "\ud800"),
        ("title", 5),
        ("title", None),
        ("title", ["x"]),
        ("description", "x" * 10_001),
        ("description", "esc\x1b"),
        ("priority", "URGENT"),
        ("priority", "high"),
        ("priority", 0),
        ("priority", None),
        ("due_at", "2030-01-01"),
        ("due_at", "2030-01-01T00:00:00"),
        ("due_at", 1_900_000_000),
        ("due_at", "0001-01-01T00:00:00Z"),
        ("due_at", "2030-02-30T00:00:00Z"),
        ("run_at", "tomorrow"),
        ("assignee_id", "x"),
        ("assignee_id", 5),
        ("flow", ""),
        ("flow", "Upper"),
        ("flow", "-a"),
        ("flow", "a" * 64),
        ("flow", "a}b"),
        ("flow", "a\n"),
        ("handler", ""),
        ("handler", "a b"),
        ("handler", "a." * 60),
        ("handler", ".a"),
        ("handler", "a\n"),
        ("payload", "nul\x00"),
        ("payload", {"nul\x00": 1}),
        ("payload", [2**64]),
        ("payload", "x" * 300_000),
        ("max_attempts", 0),
        ("max_attempts", 101),
        ("max_attempts", 1.5),
        ("max_attempts", "3"),
        ("max_attempts", True),
        ("timeout_s", 0),
        ("timeout_s", -1),
        ("timeout_s", 86_401),
        ("timeout_s", "1"),
        ("timeout_s", float("nan")),
        ("timeout_s", float("inf")),
        ("owner_id", "01920f3a-7c00-7d3e-8b1a-5f6d2c9e4a10"),
        ("status", "COMPLETED"),
        ("id", "01920f3a-7c00-7d3e-8b1a-5f6d2c9e4a10"),
    ],
)
def test_a_create_refuses(field: str, value: Any) -> None:
    body = {"title": "t"} | {field: value}

    with pytest.raises(ValidationError) as refused:
        TaskCreate.model_validate(body)

    assert fields_of(refused.value) == {field}


def test_a_payload_that_is_too_deep_is_refused() -> None:
    payload: list[Any] = []
    for _ in range(100):
        payload = [payload]

    with pytest.raises(ValidationError):
        TaskCreate.model_validate({"title": "t", "payload": payload})


def test_a_patch_tells_absent_from_null() -> None:
    assert TaskPatch.model_validate({}).changes() == {}
    assert TaskPatch.model_validate({"description": None}).changes() == {"description": None}
    moved = TaskPatch.model_validate({"due_at": "2030-01-01T01:00:00+01:00"})
    assert moved.changes() == {"due_at": "2030-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", None),
        ("title", ""),
        ("priority", None),
        ("status", None),
        ("status", "DONE"),
        ("status", 1),
        ("due_at", "x"),
        ("description", "x" * 10_001),
        ("assignee_id", None),
        ("version", 1),
        ("handler", "echo"),
    ],
)
def test_a_patch_refuses(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TaskPatch.model_validate({field: value})

    assert fields_of(refused.value) == {field}


def test_an_assignment_must_say_to_whom() -> None:
    with pytest.raises(ValidationError):
        TaskAssign.model_validate({})
    assert TaskAssign.model_validate({"assignee_id": None}).assignee_id is None


def test_clients_see_every_column_but_those_of_the_machinery() -> None:
    machinery = {"waiting", "published_at", "worker", "cancel_requested_at", "traceparent"}

    assert set(TaskRead.model_fields) == set(Task.model_fields) - machinery


def test_the_document_shows_no_defaults_that_a_patch_does_not_have() -> None:
    schema = TaskPatch.model_json_schema()

    assert all("default" not in field for field in schema["properties"].values())
    assert "required" not in schema
