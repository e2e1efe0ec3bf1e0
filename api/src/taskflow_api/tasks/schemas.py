"""Tasks as clients send them and see them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from taskflow_api.schemas import Body, Meta, Read
from taskflow_api.text import FlowName, Handler, Json, Line, Moment, Paragraph
from taskflow_core.tasks.states import EventType, TaskStatus

type PriorityName = Literal["HIGH", "MEDIUM", "LOW"]

MAX_ATTEMPTS = 100
MAX_TIMEOUT_S = 24 * 3600.0


class TaskCreate(Body):
    """A task to be created: for a worker if it names a `handler`, for a person if it does not."""

    title: Line
    description: Paragraph | None = None
    priority: PriorityName = "MEDIUM"
    due_at: Moment | None = None
    assignee_id: UUID | None = Field(None, description="An active user.")
    flow: FlowName = Field("default", description="The queue whose workers run it.")
    handler: Handler | None = Field(None, description="What a worker runs; none: a person's task.")
    payload: Json = Field(None, description="What the handler is given. Needs a handler.")
    run_at: Moment | None = Field(
        None, description="Not before this moment; at once by default. Needs a handler."
    )
    max_attempts: int | None = Field(
        None,
        ge=1,
        le=MAX_ATTEMPTS,
        strict=True,
        description="Attempts until it is dead-lettered; the handler's own number by default.",
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        le=MAX_TIMEOUT_S,
        strict=True,
        description="Longest run of one attempt, seconds; the handler's own by default.",
    )


def _absent() -> Any:  # noqa: ANN401 - stands in for any field, see TaskPatch
    # a factory, so that OpenAPI shows no default; `model_fields_set` tells who was sent
    return Field(default_factory=lambda: None)


class TaskPatch(Body):
    """Changes of a task: absent leaves a field as it is, null clears it where it may be empty."""

    title: Line = _absent()
    description: Paragraph | None = _absent()
    priority: PriorityName = _absent()
    due_at: Moment | None = _absent()
    status: TaskStatus = _absent()

    def changes(self) -> dict[str, Any]:
        """Return the fields that were sent, as JSON values."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class TaskAssign(Body):
    """Who is to do it."""

    assignee_id: UUID | None = Field(description="An active user; null: nobody.")


class TaskRead(Read):
    """A task."""

    id: UUID
    title: str
    description: str | None
    status: TaskStatus
    priority: PriorityName
    due_at: datetime | None
    flow: str
    handler: str | None = Field(description="None: a person's task.")
    payload: Any
    run_at: datetime | None = Field(description="When a worker may start it.")
    attempt: int = Field(description="Attempts begun.")
    max_attempts: int | None = Field(description="Null until its first start: as the handler says.")
    timeout_s: float | None = Field(description="Longest run of one attempt, seconds.")
    progress: Any
    result: Any
    error: Any = Field(description="Why the last attempt failed.")
    owner_id: UUID
    assignee_id: UUID | None
    version: int = Field(description="Grows with every change but progress; the ETag.")
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class TaskMeta(Meta):
    """Where a page of tasks stands."""

    page: int | None = Field(None, description="Its number, if it was asked for by number.")


class TaskPage(Read):
    """One page of tasks."""

    data: list[TaskRead]
    meta: TaskMeta


class TaskEventRead(Read):
    """One thing that happened to a task."""

    id: int = Field(description="Grows with time within one task.")
    type: EventType
    at: datetime
    attempt: int
    actor: str | None = Field(description="`user:<id>`, `worker:<session>` or `dispatcher`.")
    data: Any = Field(description="What changed, by type.")


class TaskEventPage(Read):
    """One page of a task's log, oldest first."""

    data: list[TaskEventRead]
    meta: Meta
