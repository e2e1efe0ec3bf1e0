"""The tables. Import from here, so that every table is in the metadata before anyone uses it."""

from taskflow_core.models.base import NAMING, metadata
from taskflow_core.models.events import TaskEvent
from taskflow_core.models.idempotency import IdempotencyKey
from taskflow_core.models.sessions import RefreshToken, SecurityEvent, Session
from taskflow_core.models.tasks import Task
from taskflow_core.models.users import Role, User
from taskflow_core.models.workers import Lease, WorkerSession

__all__ = [
    "NAMING",
    "IdempotencyKey",
    "Lease",
    "RefreshToken",
    "Role",
    "SecurityEvent",
    "Session",
    "Task",
    "TaskEvent",
    "User",
    "WorkerSession",
    "metadata",
]
