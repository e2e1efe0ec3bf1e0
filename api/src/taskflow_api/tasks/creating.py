"""Creating a task: durable when the client hears of it, announced to workers after the commit."""

from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from taskflow_api.tasks import idempotency, queries
from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.errors import AssigneeRefused
from taskflow_api.tasks.idempotency import Answer
from taskflow_api.tasks.preconditions import etag
from taskflow_api.tasks.publication import Publisher
from taskflow_api.tasks.rows import TaskRow, encode
from taskflow_api.tasks.schemas import TaskCreate
from taskflow_core.db.database import Database, Row, fetch
from taskflow_core.errors import FieldError, ValidationFailed
from taskflow_core.ids import new_id
from taskflow_core.queue.window import Entry
from taskflow_core.tasks.create import Created, NewTask, create_tasks
from taskflow_core.tasks.states import Priority, TaskStatus

ROUTE = "/api/v1/tasks"
_WORKERS_FIELDS = ("payload", "run_at", "max_attempts", "timeout_s")


class Creation:
    """One task on its way into the database; `created` once it is there."""

    def __init__(self, viewer: Viewer, task: NewTask) -> None:
        self._viewer, self.task = viewer, task
        self.created: Created | None = None

    async def insert(self, connection: AsyncConnection[Row]) -> Answer:
        """Insert the task. Raises `AssigneeRefused`."""
        task = self.task
        if task.assignee_id is not None and not await fetch(
            connection, queries.ACTIVE_USER, task.assignee_id
        ):
            raise AssigneeRefused
        (self.created,) = await create_tasks(connection, [task], actor=self._viewer.actor)
        row = _row(task, self.created)
        headers = {"Location": f"{ROUTE}/{task.id}", "ETag": etag(row.version)}
        return Answer(201, headers, encode(row))

    async def announce(self, publisher: Publisher) -> None:
        """Tell the workers, if it is theirs and due; to be called after the commit."""
        task, created = self.task, self.created
        if created is None or task.handler is None or created.run_at > created.created_at:
            return
        entries = [Entry(task.id, task.priority)] if created.published else []
        await publisher.announce(task.flow, *entries, arrivals=1)


async def create_task(
    database: Database,
    publisher: Publisher,
    viewer: Viewer,
    body: TaskCreate,
    *,
    key: str | None,
    traceparent: str | None,
) -> tuple[Answer, bool]:
    """Create a task; return the answer, and whether it is that of an earlier request with the same key.

    Raises `ValidationFailed`, `AssigneeRefused`, `IdempotencyKeyReused`.
    """
    task = new_task(viewer.id, body, traceparent=traceparent, publish=publisher.has_room(body.flow))
    creation = Creation(viewer, task)
    replayed = False
    async with database.connection() as connection:
        if key is None:
            answer = await creation.insert(connection)
        else:
            request = idempotency.Request(
                viewer.id,
                idempotency.checked_key(key),
                # without defaults, so that a field added to the API later changes no fingerprint
                idempotency.fingerprint(
                    "POST", ROUTE, body.model_dump(mode="json", exclude_defaults=True)
                ),
            )
            answer, replayed = await idempotency.once(
                connection, request, lambda: creation.insert(connection)
            )
    await creation.announce(publisher)
    return answer, replayed


def new_task(
    owner_id: UUID, body: TaskCreate, *, traceparent: str | None, publish: bool
) -> NewTask:
    """Return what is to be inserted.

    Raises `ValidationFailed` if a person's task has fields that only a worker could use.
    """
    if body.handler is None:
        errors = [
            FieldError(f"/{name}", "needs a handler; name one or leave this out")
            for name in _WORKERS_FIELDS
            if getattr(body, name) is not None
        ]
        if errors:
            raise ValidationFailed(errors=errors)
    return NewTask(
        id=new_id(),
        owner_id=owner_id,
        title=body.title,
        assignee_id=body.assignee_id,
        description=body.description,
        priority=Priority[body.priority],
        due_at=body.due_at,
        flow=body.flow,
        handler=body.handler,
        payload=body.payload,
        run_at=body.run_at,
        publish=publish and body.handler is not None,
        max_attempts=body.max_attempts,
        timeout_s=body.timeout_s,
        traceparent=traceparent,
    )


def _row(task: NewTask, created: Created) -> TaskRow:
    """Return the task as a read would, without reading it."""
    return TaskRow(
        id=task.id,
        title=task.title,
        description=task.description,
        status=TaskStatus.PENDING,
        priority=task.priority.name,
        due_at=task.due_at,
        flow=task.flow,
        handler=task.handler,
        payload=None if task.payload is None else msgspec.Raw(msgspec.json.encode(task.payload)),
        run_at=None if task.handler is None else created.run_at,
        attempt=0,
        max_attempts=task.max_attempts,
        timeout_s=task.timeout_s,
        progress=None,
        result=None,
        error=None,
        owner_id=task.owner_id,
        assignee_id=task.assignee_id,
        version=1,
        created_at=created.created_at,
        updated_at=created.created_at,
        started_at=None,
        finished_at=None,
    )
