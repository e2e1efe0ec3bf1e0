"""One place that renders every error as RFC 9457 `application/problem+json`.

Nothing a client sent is ever repeated, and no word of a driver or of a traceback leaves the process:
what cannot be said in our own words is said as "is not valid".
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from taskflow_api.text import REFUSED
from taskflow_core.errors import (
    PROBLEM_MEDIA_TYPE,
    FieldError,
    Malformed,
    NotFound,
    TaskFlowError,
    ValidationFailed,
)

_log = structlog.get_logger(__name__)
_MAX_ERRORS = 50  # of a body with a thousand wrong items

# pydantic's error types in our words; its own sometimes quote the input. {names}: its `ctx`, which
# for these types holds only the limits that we declared.
_WORDS = {
    "missing": "is required",
    "extra_forbidden": "has a field that is not known here",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "uuid_type": "must be a UUID",
    "uuid_parsing": "must be a UUID",
    "uuid_version": "must be a UUID",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "none_required": "must be null",
}


class MethodNotAllowed(TaskFlowError):
    """The path exists, but not with this method."""

    type = "method-not-allowed"
    title = "This path does not take this method"
    status = 405


class UnsupportedMediaType(TaskFlowError):
    """The body is not JSON."""

    type = "unsupported-media-type"
    title = "The body must be JSON: send Content-Type: application/json"
    status = 415


class _FrameworkProblem(TaskFlowError):
    """An error of the framework that has no class of ours."""

    type: ClassVar[str] = "about:blank"
    title = "The request was refused"

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self.code = status

    def problem(self, **context: str | None) -> dict[str, Any]:
        return super().problem(**context) | {"type": self.type, "status": self.code}


def install(app: FastAPI) -> None:
    """Register the handlers; `middleware.Failures` renders what none of them knows."""
    app.add_exception_handler(TaskFlowError, _taskflow_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)


def render(error: TaskFlowError, scope: Scope) -> Response:
    """Return the answer to a request that ended in `error`."""
    state = scope.get("state", {})
    body = error.problem(request_id=state.get("request_id"), trace_id=state.get("trace_id"))
    return Response(
        msgspec.json.encode(body),
        body["status"],
        headers=error.headers,
        media_type=PROBLEM_MEDIA_TYPE,
    )


def field_errors(errors: Sequence[ErrorDetails | dict[str, Any]]) -> list[FieldError]:
    """Translate pydantic's errors: a JSON pointer and our words each, at most fifty."""
    return [_field_error(error) for error in errors[:_MAX_ERRORS]]


def _field_error(error: ErrorDetails | dict[str, Any]) -> FieldError:
    kind, where = error["type"], list(error["loc"])
    if kind == "extra_forbidden":
        where.pop()  # the unknown name is the client's own text
    if where[:1] == ["body"]:
        where.pop(0)
    if kind == "missing" and not where:
        return FieldError("", "is required: send a JSON object")
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in where)
    if kind == REFUSED:
        return FieldError(pointer, error["msg"])
    words = _WORDS.get(kind, "is not valid")
    return FieldError(pointer, words.format_map(error.get("ctx", {})) if "{" in words else words)


async def _taskflow_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, TaskFlowError)  # noqa: S101 - it is registered for these
    if error.__cause__ is not None and error.status >= 500:  # noqa: PLR2004 - HTTP
        _log.warning("api.unavailable", error=type(error.__cause__).__name__)
    return render(error, request.scope)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
    return render(ValidationFailed(errors=field_errors(error.errors())), request.scope)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
    headers = dict(error.headers or {})
    problem: TaskFlowError
    match error.status_code:
        case 400:
            problem = Malformed(headers=headers)
        case 404:
            problem = NotFound("No route has this path.", headers=headers)
        case 405:
            headers["Allow"] = ", ".join(_methods_of(request)) or headers.get("Allow", "")
            problem = MethodNotAllowed(headers=headers)
        case status:
            problem = _FrameworkProblem(status, headers)
    return render(problem, request.scope)


def _methods_of(request: Request) -> list[str]:
    """Return what a path takes in all: the framework only names the first route that matches."""
    routers = getattr(request.app.state, "routers", ())
    methods: set[str] = set()
    for route in (route for router in routers for route in router.routes):
        if route.path_regex.match(request.scope["path"]):
            methods |= route.methods or set()
    return sorted(methods)
