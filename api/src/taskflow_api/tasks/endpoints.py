"""The routes of tasks."""

from typing import Annotated
from uuid import UUID

from fastapi import Body, Depends, Header, Path, Query, Response

from taskflow_api.auth.dependencies import Caller, require
from taskflow_api.resources import ResourcesDep
from taskflow_api.routing import router, shortcut
from taskflow_api.tasks import changing, creating, documents, reading, shortcuts
from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.changing import Command
from taskflow_api.tasks.filters import EventFilters, TaskFilters
from taskflow_api.tasks.preconditions import etag, expected_versions, is_known
from taskflow_api.tasks.rows import TaskRow, encode
from taskflow_api.tasks.schemas import (
    TaskAssign,
    TaskCreate,
    TaskEventPage,
    TaskPage,
    TaskPatch,
    TaskRead,
)
from taskflow_api.tasks.traces import valid_traceparent

routes = router("/tasks", "tasks")

TaskId = Annotated[UUID, Path()]
IfMatch = Annotated[
    str | None,
    Header(description="The ETag the change is based on; another version is answered by 412."),
]
IfNoneMatch = Annotated[str | None, Header(description="ETags that the client has already.")]
Traceparent = Annotated[
    str | None, Header(description="W3C trace context; the task's events and its run join it.")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description=(
            "1 to 255 printable ASCII characters. The same request with the same key within 24 hours"
            " is done once and answered as the first time."
        )
    ),
]


@routes.post("", status_code=201, response_model=TaskRead, responses=documents.CREATE_TASK)
@shortcut(shortcuts.create_task)
async def create_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:create"))],
    body: Annotated[TaskCreate, Body(openapi_examples=documents.CREATE)],
    idempotency_key: IdempotencyKey = None,
    traceparent: Traceparent = None,
) -> Response:
    """Create a task: a worker's if it has a handler, a person's if it has none."""
    answer, replayed = await creating.create_task(
        resources.database,
        resources.publisher,
        _viewer(caller),
        body,
        key=idempotency_key,
        traceparent=valid_traceparent(traceparent),
    )
    headers = answer.headers | ({"Idempotency-Replayed": "true"} if replayed else {})
    return Response(answer.body, answer.status, headers, media_type=_JSON)


@routes.get("", response_model=TaskPage, responses=documents.LIST_TASKS)
@shortcut(shortcuts.list_tasks)
async def list_tasks(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:read"))],
    filters: Annotated[TaskFilters, Query()],
) -> Response:
    """List the tasks that you own or are given; managers and admins list all."""
    page = await reading.task_page(resources.database, resources.cursors, _viewer(caller), filters)
    return Response(encode(page), media_type=_JSON)


@routes.get("/{task_id}", response_model=TaskRead, responses=documents.GET_TASK)
@shortcut(shortcuts.get_task)
async def get_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:read"))],
    task_id: TaskId,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Get a task. While a worker runs it, its progress changes without a new version."""
    task = await reading.task_by_id(resources.database, _viewer(caller), task_id)
    if is_known(if_none_match, task.version) and not task.is_run:
        return Response(status_code=304, headers={"ETag": etag(task.version)})
    return _task(task)


@routes.patch("/{task_id}", response_model=TaskRead, responses=documents.PATCH_TASK)
async def patch_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:update"))],
    task_id: TaskId,
    body: Annotated[TaskPatch, Body(openapi_examples=documents.PATCH)],
    if_match: IfMatch = None,
    traceparent: Traceparent = None,
) -> Response:
    """Change a task. The status of a task with a handler is its worker's: cancel it instead."""
    command = _command(caller, task_id, if_match, traceparent)
    return _task(await changing.patch_task(resources.database, command, body))


@routes.delete(
    "/{task_id}", status_code=204, response_class=Response, responses=documents.DELETE_TASK
)
async def delete_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:delete"))],
    task_id: TaskId,
    if_match: IfMatch = None,
    traceparent: Traceparent = None,
) -> None:
    """Delete a task for good, unless a worker runs it. Its log stays for managers to read."""
    command = _command(caller, task_id, if_match, traceparent)
    await changing.delete_task(resources.database, command)


@routes.post("/{task_id}/assign", response_model=TaskRead, responses=documents.ASSIGN_TASK)
async def assign_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:assign"))],
    task_id: TaskId,
    body: Annotated[TaskAssign, Body(openapi_examples=documents.ASSIGN)],
    if_match: IfMatch = None,
    traceparent: Traceparent = None,
) -> Response:
    """Give a task to somebody, or take it back."""
    command = _command(caller, task_id, if_match, traceparent)
    return _task(await changing.assign_task(resources.database, command, body.assignee_id))


@routes.post("/{task_id}/cancel", response_model=TaskRead, responses=documents.CANCEL_TASK)
async def cancel_task(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:update"))],
    task_id: TaskId,
    if_match: IfMatch = None,
    traceparent: Traceparent = None,
) -> Response:
    """Cancel a task: at once if it waits; a worker that runs it is told to stop (202)."""
    command = _command(caller, task_id, if_match, traceparent)
    task = await changing.cancel_task(resources.database, command)
    return _task(task, status=202 if task.is_run else 200)


@routes.get("/{task_id}/events", response_model=TaskEventPage, responses=documents.LIST_EVENTS)
async def list_task_events(
    resources: ResourcesDep,
    caller: Annotated[Caller, Depends(require("tasks:read"))],
    task_id: TaskId,
    filters: Annotated[EventFilters, Query()],
) -> Response:
    """List what happened to a task, oldest first."""
    page = await reading.event_page(
        resources.database, resources.cursors, _viewer(caller), task_id, filters
    )
    return Response(encode(page), media_type=_JSON)


_JSON = "application/json"


def _viewer(caller: Caller) -> Viewer:
    return Viewer(caller.user_id, manages=caller.may("tasks:any"))


def _command(
    caller: Caller, task_id: UUID, if_match: str | None, traceparent: str | None
) -> Command:
    return Command(
        _viewer(caller), task_id, expected_versions(if_match), valid_traceparent(traceparent)
    )


def _task(task: TaskRow, *, status: int = 200) -> Response:
    return Response(encode(task), status, {"ETag": etag(task.version)}, media_type=_JSON)
