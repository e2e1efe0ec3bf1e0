"""What the OpenAPI document shows of these routes: an example of each request and of each problem."""

from typing import Any
from uuid import UUID

from taskflow_api.cursors import CursorRefused
from taskflow_api.documents import Responses, problems
from taskflow_api.tasks.errors import (
    AlreadyFinal,
    AssigneeRefused,
    IdempotencyKeyReused,
    ListTooSlow,
    NotTheOwner,
    StatusOfExecutable,
    StillRunning,
    TaskNotFound,
    TransitionRefused,
    VersionChanged,
)
from taskflow_core.errors import FieldError, Unauthenticated, Unavailable, ValidationFailed
from taskflow_core.tasks.states import TaskStatus

_ID = UUID("01920f3a-7c00-7d3e-8b1a-5f6d2c9e4a10")
_OWNER = "01920f39-1111-7aaa-8bbb-ccccddddeeee"

TASK: dict[str, Any] = {
    "id": str(_ID),
    "title": "Send the invoice",
    "description": None,
    "status": "COMPLETED",
    "priority": "HIGH",
    "due_at": None,
    "flow": "emails",
    "handler": "emails.send",
    "payload": {"to": "ada@example.com"},
    "run_at": "2030-01-31T09:00:00Z",
    "attempt": 1,
    "max_attempts": 5,
    "timeout_s": 30.0,
    "progress": None,
    "result": {"message_id": "m-1"},
    "error": None,
    "owner_id": _OWNER,
    "assignee_id": None,
    "version": 3,
    "created_at": "2030-01-31T08:59:59.120000Z",
    "updated_at": "2030-01-31T09:00:00.480000Z",
    "started_at": "2030-01-31T09:00:00.004000Z",
    "finished_at": "2030-01-31T09:00:00.480000Z",
}

CREATE: dict[str, Any] = {
    "for a person": {"value": {"title": "Call Ada", "due_at": "2030-01-31T09:00:00+01:00"}},
    "for a worker": {
        "value": {
            "title": "Send the invoice",
            "flow": "emails",
            "handler": "emails.send",
            "payload": {"to": "ada@example.com"},
            "priority": "HIGH",
            "max_attempts": 5,
        }
    },
}
PATCH: dict[str, Any] = {
    "finish it": {"value": {"status": "COMPLETED"}},
    "move and clear": {"value": {"due_at": "2030-02-01T09:00:00Z", "description": None}},
}
ASSIGN: dict[str, Any] = {
    "give it away": {"value": {"assignee_id": _OWNER}},
    "to nobody": {"value": {"assignee_id": None}},
}

_ETAG = {"ETag": {"description": "The task's version.", "schema": {"type": "string"}}}
_LOCATION = {"Location": {"description": "The task's path.", "schema": {"type": "string"}}}


def answers(status: int, description: str, *, headers: dict[str, Any] | None = None) -> Responses:
    """Return the documentation of an answer that is a task."""
    content = {"application/json": {"example": TASK}}
    return {status: {"description": description, "headers": headers or _ETAG, "content": content}}


_over = Unauthenticated("This session is over: log in again.")
_away = Unavailable("The database cannot be reached. Try again shortly.")
_missing = TaskNotFound()
_changed = VersionChanged(4)
_person = ValidationFailed(
    errors=[FieldError("/run_at", "needs a handler; name one or leave this out")]
)
_field = ValidationFailed(errors=[FieldError("/title", "must have at most 200 characters")])

CREATED = answers(201, "Created: durable from now on.", headers=_ETAG | _LOCATION)
CREATE_TASK = CREATED | problems(_over, _person, IdempotencyKeyReused())
GET_TASK = (
    answers(200, "The task.")
    | {304: {"description": "`If-None-Match` names its version: nothing has changed."}}
    | problems(_over, _missing)
)
LIST_TASKS = problems(_over, CursorRefused(), _away, ListTooSlow())
PATCH_TASK = answers(200, "The task as it is now.") | problems(
    _over,
    _missing,
    StatusOfExecutable(_ID),
    TransitionRefused(TaskStatus.PENDING, [TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED]),
    _changed,
    _field,
)
ASSIGN_TASK = answers(200, "The task as it is now.") | problems(
    _over, NotTheOwner(), _missing, _changed, AssigneeRefused()
)
CANCEL_TASK = (
    answers(200, "Cancelled.")
    | answers(202, "A worker runs it and is being told to stop; its status will say when it has.")
    | problems(_over, _missing, AlreadyFinal(TaskStatus.COMPLETED), _changed)
)
DELETE_TASK = problems(_over, NotTheOwner(), _missing, StillRunning(_ID), _changed)
LIST_EVENTS = problems(_over, _missing, CursorRefused())
