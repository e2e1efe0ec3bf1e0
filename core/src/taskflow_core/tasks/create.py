"""Creating tasks: one statement for one task or a thousand, durable when it returns."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from taskflow_core.db.database import Row, fetch
from taskflow_core.queue import statements
from taskflow_core.tasks.states import Priority


class NewTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task to be created, already validated. A `handler` makes it a worker's, none a person's.

    `publish`: its entry will be pushed to the window right after the commit. `timeout_s` is of one
    attempt, seconds. Times must carry a time zone.
    """

    id: UUID
    owner_id: UUID
    title: str
    assignee_id: UUID | None = None
    description: str | None = None
    priority: Priority = Priority.MEDIUM
    due_at: datetime | None = None
    flow: str = "default"
    handler: str | None = None
    payload: Any = None
    run_at: datetime | None = None
    publish: bool = False
    max_attempts: int | None = None
    timeout_s: float | None = None
    traceparent: str | None = None


class Created(msgspec.Struct, frozen=True):
    """What PostgreSQL added. `published`: push the entry now."""

    id: UUID
    created_at: datetime
    run_at: datetime
    published: bool


async def create_tasks(
    connection: AsyncConnection[Row], tasks: Sequence[NewTask], *, actor: str
) -> list[Created]:
    """Insert tasks and their `task.created` events; all or none. `actor` as in `task_events`.

    Order of the answer is not that of `tasks`. Raises `psycopg.IntegrityError` when an id exists.
    """
    body = msgspec.json.encode(tasks).decode()
    return [Created(*row) for row in await fetch(connection, statements.CREATE, body, actor)]
