"""The OpenAPI document: committed as `docs/openapi.json`, served at `/openapi.json`."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from taskflow_api.documents import PROBLEM_SCHEMA, problems
from taskflow_api.problems import UnsupportedMediaType
from taskflow_core.errors import FieldError, Malformed, TooLarge, Unavailable, ValidationFailed

_SUMMARY = "Create tasks and follow them; workers run them."
_DESCRIPTION = """\
Errors are RFC 9457 problems (`application/problem+json`) with stable `type`s, JSON pointers for
fields, and the `request_id` that the logs have. Lists are pages: follow `meta.next_cursor`.
"""
_ANY_ROUTE = problems(
    Unavailable("The database cannot be reached. Try again shortly."),
)
_ANY_BODY = problems(
    Malformed("The body is not valid JSON (RFC 8259) in UTF-8."),
    TooLarge("A body may have 1,048,576 bytes."),
    UnsupportedMediaType(),
)
_ANY_PARAMETER = problems(
    ValidationFailed(errors=[FieldError("/title", "must have at most 200 characters")])
)


def document() -> dict[str, Any]:
    """Return the document; it needs no settings and no connection."""
    from taskflow_api.app import bare_app  # noqa: PLC0415 - the application describes itself by this

    return bare_app().openapi()


def describe(app: FastAPI) -> None:
    """Let the application describe itself with what all its routes have in common."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(
        title=app.title,
        version=app.version,
        summary=_SUMMARY,
        description=_DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = PROBLEM_SCHEMA
    # the framework's own form of a validation error, which is never sent
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    for path, operations in schema["paths"].items():
        if path.startswith("/api/"):
            for operation in operations.values():
                _add_common_problems(operation)
    return schema


def _add_common_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    framework = responses.get("422", {}).get("content", {})
    if "application/json" in framework:
        del framework["application/json"]
    common = dict(_ANY_ROUTE)
    if "requestBody" in operation:
        common |= _ANY_BODY
    if "requestBody" in operation or operation.get("parameters"):
        common |= _ANY_PARAMETER
    for status, response in common.items():
        ours = responses.setdefault(str(status), {"description": response["description"]})
        ours.setdefault("content", {})
        for media_type, content in response["content"].items():
            ours["content"].setdefault(media_type, content)
    operation["responses"] = dict(sorted(responses.items()))
