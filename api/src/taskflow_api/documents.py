"""What the OpenAPI document says about problems: which a route has, with an example of each."""

from typing import Any

from taskflow_core.errors import PROBLEM_MEDIA_TYPE, TaskFlowError

type Responses = dict[int | str, dict[str, Any]]

_SCHEMA = {"$ref": "#/components/schemas/Problem"}


def problems(*errors: TaskFlowError) -> Responses:
    """Return the documentation of these problems, by status."""
    responses: Responses = {}
    for error in errors:
        body = error.problem(request_id="01920f3a7c007d3e8b1a000000000000")
        response = responses.setdefault(
            error.status,
            {
                "description": error.title,
                "content": {PROBLEM_MEDIA_TYPE: {"schema": _SCHEMA, "examples": {}}},
            },
        )
        response["content"][PROBLEM_MEDIA_TYPE]["examples"][error.type] = {"value": body}
    return responses


PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `type` is stable: decide by it, not by the words.",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
        "trace_id": {"type": "string"},
    },
}
