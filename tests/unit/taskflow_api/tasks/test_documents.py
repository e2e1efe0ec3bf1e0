"""What the OpenAPI document says of tasks: true, complete, and with examples that fit."""

from typing import Any

import pytest
from pydantic import BaseModel

from taskflow_api.openapi import document
from taskflow_api.tasks import documents, errors
from taskflow_api.tasks.schemas import TaskAssign, TaskCreate, TaskPatch, TaskRead
from taskflow_core.errors import PROBLEM_TYPE_BASE, TaskFlowError

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def operations() -> dict[str, dict[str, Any]]:
    """Operation id → operation, of the paths of tasks."""
    return {
        operation["operationId"]: operation
        for path, methods in document()["paths"].items()
        if path.startswith("/api/v1/tasks")
        for operation in methods.values()
    }


def examples_of(response: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = response["content"][PROBLEM]["examples"]
    return found


def test_the_routes_have_stable_names(operations: dict[str, Any]) -> None:
    assert set(operations) == {
        "create_task",
        "list_tasks",
        "get_task",
        "patch_task",
        "delete_task",
        "assign_task",
        "cancel_task",
        "list_task_events",
    }


@pytest.mark.parametrize(
    ("examples", "model"),
    [
        (documents.CREATE, TaskCreate),
        (documents.PATCH, TaskPatch),
        (documents.ASSIGN, TaskAssign),
    ],
)
def test_examples_of_bodies_are_accepted(examples: dict[str, Any], model: type[BaseModel]) -> None:
    for example in examples.values():
        model.model_validate(example["value"])


def test_the_example_of_a_task_is_a_task() -> None:
    shown = TaskRead.model_validate(documents.TASK)

    assert set(documents.TASK) == set(TaskRead.model_fields)
    assert shown.model_dump(mode="json") == documents.TASK


def test_every_problem_of_tasks_is_shown_somewhere(operations: dict[str, Any]) -> None:
    shown = {
        (int(status), example["value"]["type"], example["value"]["title"])
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if PROBLEM in response.get("content", {})
        for example in examples_of(response).values()
    }

    for name in dir(errors):
        error = getattr(errors, name)
        if isinstance(error, type) and error.__module__ == errors.__name__:
            assert issubclass(error, TaskFlowError)
            assert (error.status, PROBLEM_TYPE_BASE + error.type, error.title) in shown, name


def test_every_route_says_what_an_unknown_caller_gets(operations: dict[str, Any]) -> None:
    for operation in operations.values():
        assert "401" in operation["responses"]
        assert operation["security"]


def test_headers_that_matter_are_declared(operations: dict[str, Any]) -> None:
    def names(operation: str) -> set[str]:
        return {parameter["name"].lower() for parameter in operations[operation]["parameters"]}

    assert {"idempotency-key", "traceparent"} <= names("create_task")
    assert "if-none-match" in names("get_task")
    assert {"if-match", "task_id"} <= names("patch_task") & names("delete_task")
    created = operations["create_task"]["responses"]["201"]
    assert set(created["headers"]) == {"ETag", "Location"}
    assert "304" in operations["get_task"]["responses"]
    assert "202" in operations["cancel_task"]["responses"]
