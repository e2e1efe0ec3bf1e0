"""The table that everything is about.

Each index is written again when a task is claimed and when it ends (about 1.3 µs of PostgreSQL each),
so they are few, and listed here with what each is for:

| index | for |
|---|---|
| `pk_tasks` | everything by id; ids are UUIDv7, so also "newest first" over all tasks |
| `ix_tasks_owner_id` | a user's tasks, newest first |
| `ix_tasks_assignee_id` | tasks given to a person, newest first; holds assigned tasks only |
| `ix_tasks_ready` | top-up: what the dispatcher may publish next, in the order of work |
| `ix_tasks_published` | audit: what was published and has not been claimed |
| `ix_tasks_running` | sweep and heartbeat: what a session of a worker runs |

No index mentions `status`: a plain `status = …` in a claim would let the planner prefer a partial index
that a drain has filled with dead entries. `waiting` (true while an executable task is PENDING, else NULL)
and `worker` (a session while one runs it, else NULL) stand in for it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from taskflow_core.ids import new_id
from taskflow_core.models.base import one_of, timestamp
from taskflow_core.tasks.states import Priority, TaskStatus

_JSON = JSONB(none_as_null=True)


class Task(SQLModel, table=True):
    """A piece of work: a worker's if it has a handler, a person's if it has none."""

    __tablename__ = "tasks"
    __table_args__ = (
        one_of("status", TaskStatus, "status"),
        sa.CheckConstraint("priority between 0 and 2", name="priority"),
        sa.CheckConstraint(
            "(waiting is true) = (handler is not null and status = 'PENDING')", name="waiting"
        ),
        sa.CheckConstraint(
            "(worker is not null) = (handler is not null and status = 'IN_PROGRESS')",
            name="worker",
        ),
        sa.Index("ix_tasks_owner_id", "owner_id", sa.text("id desc")),
        sa.Index(
            "ix_tasks_assignee_id",
            "assignee_id",
            sa.text("id desc"),
            postgresql_where=sa.text("assignee_id is not null"),
        ),
        sa.Index(
            "ix_tasks_ready",
            "flow",
            "priority",
            "run_at",
            "id",
            postgresql_where=sa.text("waiting and published_at is null"),
        ),
        sa.Index(
            "ix_tasks_published",
            "flow",
            "published_at",
            postgresql_where=sa.text("waiting and published_at is not null"),
        ),
        sa.Index("ix_tasks_running", "worker", postgresql_where=sa.text("worker is not null")),
        {
            # room on each page for the new versions that a claim and an end write
            "postgresql_with": {"fillfactor": "70"},
        },
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    # No foreign keys to users: each would lock the owner's row at every create, and users are
    # never deleted physically.
    owner_id: UUID
    assignee_id: UUID | None = None
    title: str = Field(sa_type=sa.Text)
    description: str | None = Field(default=None, sa_type=sa.Text)
    status: TaskStatus = Field(
        default=TaskStatus.PENDING, sa_type=sa.Text, sa_column_kwargs={"server_default": "PENDING"}
    )
    priority: Priority = Field(
        default=Priority.MEDIUM, sa_type=sa.SmallInteger, sa_column_kwargs={"server_default": "1"}
    )
    due_at: datetime | None = timestamp(nullable=True)

    flow: str = Field(default="default", sa_type=sa.Text)
    handler: str | None = Field(default=None, sa_type=sa.Text)
    payload: Any = Field(default=None, sa_type=_JSON, nullable=True)
    run_at: datetime = timestamp(now=True)
    waiting: bool | None = Field(default=None, nullable=True)
    published_at: datetime | None = timestamp(nullable=True)
    worker: int | None = Field(default=None, sa_type=sa.BigInteger, nullable=True)
    attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    max_attempts: int | None = None  # None: as the handler says; the claim writes it down
    timeout_s: float | None = None  # of one attempt; None: as the handler says
    cancel_requested_at: datetime | None = timestamp(nullable=True)
    progress: Any = Field(default=None, sa_type=_JSON, nullable=True)
    result: Any = Field(default=None, sa_type=_JSON, nullable=True)
    error: Any = Field(default=None, sa_type=_JSON, nullable=True)
    traceparent: str | None = Field(default=None, sa_type=sa.Text)

    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    created_at: datetime = timestamp(now=True)
    updated_at: datetime = timestamp(now=True)
    started_at: datetime | None = timestamp(nullable=True)
    finished_at: datetime | None = timestamp(nullable=True)
