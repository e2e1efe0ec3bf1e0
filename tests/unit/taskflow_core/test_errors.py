"""Errors as RFC 9457 problem documents."""

import inspect
import json
from collections.abc import Iterator

import pytest

from taskflow_core import errors
from taskflow_core.errors import (
    PROBLEM_TYPE_BASE,
    FieldError,
    NotFound,
    TaskFlowError,
    Unauthenticated,
    Unavailable,
    ValidationFailed,
)


def family(root: type[TaskFlowError]) -> Iterator[type[TaskFlowError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


OURS = [cls for cls in family(TaskFlowError) if cls.__module__ == errors.__name__]


def test_all_errors_of_the_module_have_the_one_root() -> None:
    raised = [
        cls
        for _, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, BaseException) and cls.__module__ == errors.__name__
    ]

    assert set(raised) == set(OURS)


@pytest.mark.parametrize("cls", OURS)
def test_a_problem_has_type_title_and_status(cls: type[TaskFlowError]) -> None:
    problem = cls().problem()

    assert problem == {
        "type": PROBLEM_TYPE_BASE + cls.type,
        "title": cls.title,
        "status": cls.status,
    }
    assert 400 <= cls.status <= 599


def test_no_two_errors_share_a_type() -> None:
    types = [cls.type for cls in OURS]

    assert len(types) == len(set(types))


def test_the_detail_is_the_message() -> None:
    error = NotFound("No task has this id.")

    assert error.problem()["detail"] == str(error) == "No task has this id."


def test_without_detail_the_title_speaks() -> None:
    assert str(NotFound()) == NotFound.title
    assert "detail" not in NotFound().problem()


def test_fields_are_named_by_json_pointers() -> None:
    error = ValidationFailed(
        errors=[FieldError("/due_at", "must carry a time zone"), FieldError("/query/limit", "…")]
    )

    assert error.problem()["errors"] == [
        {"pointer": "/due_at", "detail": "must carry a time zone"},
        {"pointer": "/query/limit", "detail": "…"},
    ]


def test_extension_and_context_members_stand_beside_the_standard_ones() -> None:
    error = TaskFlowError("x", limit="login", left=0)

    problem = error.problem(request_id="r-1", trace_id=None)

    assert problem["limit"] == "login"
    assert problem["left"] == 0
    assert problem["request_id"] == "r-1"
    assert "trace_id" not in problem
    assert json.loads(json.dumps(problem)) == problem


def test_a_challenge_says_how_to_authenticate() -> None:
    assert Unauthenticated().headers == {"WWW-Authenticate": "Bearer"}


def test_an_outage_says_when_to_come_back() -> None:
    assert Unavailable().headers == {"Retry-After": "1"}
    assert Unavailable(retry_after_s=12).headers == {"Retry-After": "12"}


def test_headers_are_the_errors_own() -> None:
    headers = {"Retry-After": "3"}
    error = TaskFlowError(headers=headers)
    headers["Retry-After"] = "9"

    assert error.headers == {"Retry-After": "3"}
