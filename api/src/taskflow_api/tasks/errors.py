"""What can stand against a change of a task."""

from typing import Any
from uuid import UUID

from taskflow_core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    NotFound,
    PreconditionFailed,
    TaskFlowError,
    Unavailable,
    ValidationFailed,
)
from taskflow_core.tasks.states import TaskStatus


class TaskNotFound(NotFound):
    """There is no such task, or none that the caller may see: the two are not told apart."""

    def __init__(self) -> None:
        super().__init__("There is no task with this id among those that you may see.")


class ListTooSlow(Unavailable):
    """PostgreSQL gave up on a list, after the time that one statement may take."""

    type = "list-too-slow"
    title = "This list takes too long to put together"

    def __init__(self) -> None:
        super().__init__(
            "Leave out `total` or `search`, or narrow the list: by flow, owner, assignee or times.",
            retry_after_s=10,
        )


class NotTheOwner(Forbidden):
    """The assignee of a task tried what only its owner and managers may do."""

    type = "not-the-owner"
    title = "Only the owner of a task or a manager may do this"


class VersionChanged(PreconditionFailed):
    """`If-Match` names another version than the stored one."""

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The task is at version {version} now. Read it again and repeat your change on that.",
            version=version,
        )


class StatusOfExecutable(Conflict):
    """Somebody tried to set the status of a task that belongs to a worker."""

    type = "status-is-the-workers"
    title = "A worker decides about the status of this task"

    def __init__(self, task_id: UUID) -> None:
        route = f"/api/v1/tasks/{task_id}/cancel"
        super().__init__(
            f"The task has a handler, so its status follows what its worker does."
            f" To stop it, use POST {route}.",
            route=route,
        )


class TransitionRefused(Conflict):
    """The table of transitions does not have this one."""

    type = "transition"
    title = "The task cannot go from its state to this one"

    def __init__(self, before: TaskStatus, allowed: list[TaskStatus]) -> None:
        super().__init__(
            f"The task is {before}. From there it can become: {', '.join(allowed) or 'nothing'}.",
            status_now=before,
            allowed=allowed,
        )


class AlreadyFinal(Conflict):
    """What has ended cannot be cancelled."""

    type = "already-final"
    title = "The task has ended already"

    def __init__(self, status: TaskStatus) -> None:
        super().__init__(f"The task is {status}; there is nothing to cancel.", status_now=status)


class StillRunning(Conflict):
    """A worker runs the task at this moment."""

    type = "still-running"
    title = "A worker is running this task"

    def __init__(self, task_id: UUID) -> None:
        route = f"/api/v1/tasks/{task_id}/cancel"
        super().__init__(
            f"Cancel it first, with POST {route}, and delete it when it has stopped.", route=route
        )


class AssigneeRefused(ValidationFailed):
    """The assignee is nobody, or somebody who is not active any more."""

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("/assignee_id", "must be the id of an active user")])


class IdempotencyKeyReused(TaskFlowError):
    """The key was used within the last day for a request that was not this one."""

    type = "idempotency-key-reused"
    title = "This Idempotency-Key was used for another request"
    status = 422

    def __init__(self, **extensions: Any) -> None:  # noqa: ANN401 - as its base
        super().__init__(
            "Take a new key for a new request; to repeat a request, repeat it unchanged.",
            errors=[FieldError("/header/Idempotency-Key", "belongs to a different request")],
            **extensions,
        )
