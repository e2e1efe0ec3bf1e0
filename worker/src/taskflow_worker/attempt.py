"""One attempt at a task, from the claim to the answer about its end."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from taskflow_worker.context import Context


class Outcome(StrEnum):
    """How an attempt may end, in the words of the `complete` statement."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RETRY = "RETRY"
    RETURN = "RETURN"  # handed back: it had not started, and does not count


class Stop(Enum):
    """Why the worker cut an attempt short."""

    TIMEOUT = "timeout"
    CANCEL = "cancel"
    INTERRUPT = "interrupt"  # the worker stops
    LOST = "lost"  # it was given to another: nobody wants to hear how it ends


class Ending(NamedTuple):
    """What is written about an attempt: `body` is the result or the error, as JSON."""

    outcome: Outcome
    body: str = "null"
    pause_s: float = 0.0


RETURNED = Ending(Outcome.RETURN)


class Attempt(msgspec.Struct, eq=False):
    """An attempt that this process holds. The first fields are the columns of the claim."""

    task_id: str
    number: int
    max_attempts: int
    handler: str
    payload: str | None  # JSON
    timeout_s: float | None
    traceparent: str | None
    waited_s: float
    session: int

    # while it runs
    task: asyncio.Task[None] | None = None
    started: float = 0.0  # monotonic
    context: "Context | None" = None
    stop: Stop | None = None
    cancel_requested: bool = False
    deadline: asyncio.TimerHandle | None = None
    grace: asyncio.TimerHandle | None = None

    # when it has ended
    ending: Ending | None = None
    on_settled: Callable[[], Awaitable[None]] | None = None  # called when PostgreSQL has the ending

    def __repr__(self) -> str:
        """Name it; a payload has no business in a log."""
        return f"<Attempt {self.number} at {self.handler} {self.task_id}>"

    @property
    def runs(self) -> bool:
        """Whether its handler was started and has not ended."""
        return self.task is not None and self.ending is None

    @property
    def is_last(self) -> bool:
        """Whether no other attempt may follow a failure of this one."""
        return self.number >= self.max_attempts

    def disarm(self) -> None:
        """Forget its deadline."""
        if self.deadline is not None:
            self.deadline.cancel()
        if self.grace is not None:
            self.grace.cancel()
