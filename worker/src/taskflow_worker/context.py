"""What a handler may know and say about the attempt it is."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Self

import structlog

from taskflow_worker.attempt import Attempt
from taskflow_worker.errors import Stopped
from taskflow_worker.verdict import readable

MESSAGE_MAX = 200  # characters of a progress message that are kept


class Progress(NamedTuple):
    """How far an attempt is: `fraction` from 0 to 1, `message` for people."""

    fraction: float
    message: str


class _Noted:
    """What `progress` returns: there is nothing to wait for, but `await` reads well."""

    def __await__(self) -> Generator[None]:
        yield from ()


_NOTED = _Noted()


class Context:
    """The second parameter of a handler that asks for it, by annotation.

    `cancelled` is set when somebody asks the task to stop; after a grace period the handler is
    cancelled as any asyncio task is (code in a thread cannot be: look at `cancelled.is_set()`).
    `traceparent` is the W3C trace context of the request that created the task.
    """

    __slots__ = (
        "_note",
        "attempt",
        "cancelled",
        "flow",
        "handler",
        "max_attempts",
        "task_id",
        "traceparent",
    )

    def __init__(
        self,
        *,
        task_id: str,
        attempt: int,
        max_attempts: int,
        flow: str,
        handler: str,
        traceparent: str | None,
        note: Callable[[Progress], None],
    ) -> None:
        self.task_id = task_id
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.flow = flow
        self.handler = handler
        self.traceparent = traceparent
        self.cancelled = asyncio.Event()
        self._note = note

    @classmethod
    def of(cls, attempt: Attempt, flow: str, note: Callable[[Progress], None]) -> Self:
        """Return what the handler of `attempt` may know; `note` takes what it reports."""
        return cls(
            task_id=attempt.task_id,
            attempt=attempt.number,
            max_attempts=attempt.max_attempts,
            flow=flow,
            handler=attempt.handler,
            traceparent=attempt.traceparent,
            note=note,
        )

    @property
    def fencing_key(self) -> str:
        """`<task id>:<attempt>`: no two attempts have the same, so the other side can refuse old ones."""
        return f"{self.task_id}:{self.attempt}"

    @property
    def log(self) -> Any:  # noqa: ANN401 - structlog's loggers have no common type
        """A structlog logger that says which attempt is speaking."""
        return structlog.get_logger("taskflow.handler").bind(
            task_id=self.task_id, attempt=self.attempt, flow=self.flow, handler=self.handler
        )

    def progress(self, fraction: float, message: str = "") -> _Noted:
        """Note how far the attempt is, 0 to 1. Cheap: it is written about once a second.

        `await` it or not; it may be called from the thread of a `def` handler. Raises `ValueError` when
        `fraction` is no number from 0 to 1.
        """
        if not (_is_number(fraction) and 0 <= fraction <= 1):
            raise ValueError("progress: fraction must be a number from 0 to 1")
        self._note(Progress(float(fraction), readable(str(message))[:MESSAGE_MAX]))
        return _NOTED

    def raise_if_cancelled(self) -> None:
        """End the attempt here if somebody asked it to stop."""
        if self.cancelled.is_set():
            raise Stopped("The handler stopped because it was asked to.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
