"""The states of a task, and the one table of allowed transitions."""

from enum import IntEnum, StrEnum


class TaskStatus(StrEnum):
    """Where a task is in its life."""

    PENDING = "PENDING"  # waits: for a worker, or for a person
    IN_PROGRESS = "IN_PROGRESS"  # a worker's attempt is current, or a person is at it
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"  # dead-lettered; replay brings it back to PENDING
    CANCELLED = "CANCELLED"


class Priority(IntEnum):
    """Lower runs first, so that an ascending index is the order of work."""

    HIGH = 0
    MEDIUM = 1
    LOW = 2


class EventType(StrEnum):
    """What can happen to a task; the `type` of a `task_events` row."""

    CREATED = "task.created"
    UPDATED = "task.updated"
    ASSIGNED = "task.assigned"
    STATUS_CHANGED = "task.status_changed"  # by a person
    STARTED = "task.started"
    COMPLETED = "task.completed"
    RETRIED = "task.retried"  # an attempt failed, another will follow
    DEAD_LETTERED = "task.dead_lettered"
    LEASE_LOST = "task.lease_lost"  # its worker was lost; another attempt will follow
    RETURNED = "task.returned"  # handed back by its worker without having run
    CANCEL_REQUESTED = "task.cancel_requested"  # running: the worker is told
    CANCELLED = "task.cancelled"
    DELETED = "task.deleted"


_S = TaskStatus
FINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})

EXECUTABLE_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    _S.PENDING: frozenset({_S.IN_PROGRESS, _S.CANCELLED}),
    # back to PENDING: retry, lost lease, or handed back at shutdown
    _S.IN_PROGRESS: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.PENDING}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset({_S.PENDING}),
    _S.CANCELLED: frozenset(),
}

_PEOPLES = frozenset({_S.PENDING, _S.IN_PROGRESS, _S.COMPLETED, _S.CANCELLED})
PEOPLES_TRANSITIONS: dict[TaskStatus, frozenset[TaskStatus]] = {
    status: _PEOPLES - {status} for status in _PEOPLES
} | {_S.FAILED: frozenset()}


def may_become(before: TaskStatus, after: TaskStatus, *, executable: bool) -> bool:
    """Tell whether a task may go from `before` to `after`; `executable` means it has a handler."""
    table = EXECUTABLE_TRANSITIONS if executable else PEOPLES_TRANSITIONS
    return after in table[before]
