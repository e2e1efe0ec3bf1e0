"""Rows on their way from PostgreSQL to the client, without a model instance or a second copy.

These structs have exactly the fields of the response models, in their order, which is checked when
this module is imported; their JSON is what the models would write.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, UnsetType
from pydantic import BaseModel

from taskflow_api.tasks.schemas import TaskEventRead, TaskMeta, TaskRead
from taskflow_core.db.database import Row
from taskflow_core.tasks.states import TaskStatus

_encoder = msgspec.json.Encoder()


class TaskRow(msgspec.Struct, frozen=True, gc=False):
    """A task as it is sent. JSON columns are passed through as PostgreSQL wrote them."""

    id: UUID
    title: str
    description: str | None
    status: str
    priority: str
    due_at: datetime | None
    flow: str
    handler: str | None
    payload: Raw | None
    run_at: datetime | None
    attempt: int
    max_attempts: int | None
    timeout_s: float | None
    progress: Raw | None
    result: Raw | None
    error: Raw | None
    owner_id: UUID
    assignee_id: UUID | None
    version: int
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_run(self) -> bool:
        """Whether a worker is at it right now."""
        return self.handler is not None and self.status == TaskStatus.IN_PROGRESS


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """An event as it is sent."""

    id: int
    type: str
    at: datetime
    attempt: int
    actor: str | None
    data: Raw | None


class MetaRow(msgspec.Struct, frozen=True, gc=False):
    """Where a page stands; what was not asked for is left out."""

    limit: int
    next_cursor: str | None
    total: int | UnsetType = UNSET
    page: int | UnsetType = UNSET


class PageRow[Item](msgspec.Struct, frozen=True):
    """The list envelope."""

    data: Sequence[Item]
    meta: MetaRow


# a row's columns are only known by their order
_task: Callable[..., TaskRow] = TaskRow
_event: Callable[..., EventRow] = EventRow


def task_row(row: Row) -> TaskRow:
    """Make a task of the columns that `queries.COLUMNS` selects."""
    head, payload, middle, (progress, result, error), tail = (
        row[:8], row[8], row[9:13], row[13:16], row[16:],
    )  # fmt: skip
    return _task(*head, raw(payload), *middle, raw(progress), raw(result), raw(error), *tail)


def event_row(row: Row) -> EventRow:
    """Make an event of the columns that `queries.EVENTS` selects."""
    *columns, data = row
    return _event(*columns, raw(data))


def raw(text: str | None) -> Raw | None:
    """Pass JSON text through as it is."""
    return None if text is None else Raw(text)


def encode(document: TaskRow | PageRow[Any]) -> bytes:
    """Return the JSON of an answer."""
    return _encoder.encode(document)


def _same_fields(struct: type[msgspec.Struct], model: type[BaseModel]) -> None:
    if struct.__struct_fields__ != tuple(model.model_fields):
        raise TypeError(f"{struct.__name__} and {model.__name__} have different fields")


_same_fields(TaskRow, TaskRead)
_same_fields(EventRow, TaskEventRead)
_same_fields(MetaRow, TaskMeta)
