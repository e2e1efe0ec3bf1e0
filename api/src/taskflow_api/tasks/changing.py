"""Changes of tasks: each is one statement, and what it did not do is explained here."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from taskflow_api.tasks import statements
from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.errors import (
    AlreadyFinal,
    AssigneeRefused,
    NotTheOwner,
    StatusOfExecutable,
    StillRunning,
    TaskNotFound,
    TransitionRefused,
    VersionChanged,
)
from taskflow_api.tasks.rows import TaskRow, task_row
from taskflow_api.tasks.schemas import TaskPatch
from taskflow_core.db.database import Database, Row
from taskflow_core.tasks.states import FINAL, Priority, TaskStatus, may_become


@dataclass(frozen=True, slots=True)
class Command:
    """Who wants to change which task. `expected`: the versions `If-Match` allows; None: any.

    Every function that takes one raises `TaskNotFound` also when the viewer may not see the task, and
    `VersionChanged` when its version is not an expected one.
    """

    viewer: Viewer
    task_id: UUID
    expected: list[int] | None = None
    traceparent: str | None = None

    async def run(self, database: Database, sql: str, *more: object) -> Row:
        """Run one of `statements`. Raises `TaskNotFound`."""
        viewer = self.viewer
        rows = await database.fetch(
            sql,
            self.task_id,
            viewer.manages,
            viewer.id,
            self.expected,
            viewer.actor,
            self.traceparent,
            *more,
        )
        if not rows:
            raise TaskNotFound
        return rows[0]

    def check_version(self, task: TaskRow) -> None:
        """Raise `VersionChanged` unless the task is at an expected version."""
        if self.expected is not None and task.version not in self.expected:
            raise VersionChanged(task.version)


async def patch_task(database: Database, command: Command, patch: TaskPatch) -> TaskRow:
    """Set the fields that were sent; return the task as it is then.

    Raises `StatusOfExecutable`, `TransitionRefused`.
    """
    changes = patch.changes()
    if "priority" in changes:
        changes["priority"] = int(Priority[changes["priority"]])
    sources = _sources(TaskStatus(changes["status"])) if "status" in changes else []
    document = msgspec.json.encode(changes).decode()
    applied, *columns = await command.run(database, statements.PATCH, document, sources)
    task = task_row(tuple(columns))
    if not applied:
        command.check_version(task)
        if "status" in changes:
            _check_status(task, sources)
    return task


async def assign_task(database: Database, command: Command, assignee_id: UUID | None) -> TaskRow:
    """Give a task to somebody or to nobody; return it.

    Raises `NotTheOwner`, `AssigneeRefused`.
    """
    fits, applied, *columns = await command.run(database, statements.ASSIGN, assignee_id)
    task = task_row(tuple(columns))
    if not applied:
        if not command.viewer.commands(task.owner_id):
            raise NotTheOwner
        if not fits:
            raise AssigneeRefused
        command.check_version(task)
    return task


async def cancel_task(database: Database, command: Command) -> TaskRow:
    """Cancel a task; return it: CANCELLED, or IN_PROGRESS if its worker was asked to stop.

    Raises `AlreadyFinal`.
    """
    applied, *columns = await command.run(database, statements.CANCEL)
    task = task_row(tuple(columns))
    if not applied:
        command.check_version(task)
        if task.status in FINAL:
            raise AlreadyFinal(TaskStatus(task.status))
    return task


async def delete_task(database: Database, command: Command) -> None:
    """Delete a task for good; its log stays. Raises `NotTheOwner`, `StillRunning`."""
    applied, *columns = await command.run(database, statements.DELETE)
    if applied:
        return
    task = task_row(tuple(columns))
    if not command.viewer.commands(task.owner_id):
        raise NotTheOwner
    command.check_version(task)
    raise StillRunning(task.id)


def _sources(target: TaskStatus) -> list[str]:
    """Return the states in which a person may say that their task is `target` (now)."""
    return [
        str(status)
        for status in TaskStatus
        if may_become(status, target, executable=False) or status == target
    ]


def _check_status(task: TaskRow, sources: list[str]) -> None:
    """Raise what stood against the change of status, if anything."""
    if task.handler is not None:
        raise StatusOfExecutable(task.id)
    if task.status not in sources:
        before = TaskStatus(task.status)
        allowed: list[Any] = [s for s in TaskStatus if may_become(before, s, executable=False)]
        raise TransitionRefused(before, allowed)
