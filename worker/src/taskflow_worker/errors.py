"""What a handler may raise to decide about its task, and what the worker itself finds wrong."""

from taskflow_worker.durations import Duration, seconds


class Retry(Exception):
    """Raise it to end this attempt and ask for another.

    `after`: how long to wait, instead of what the handler's back-off would say. `reason`: what people
    read in the task's error. It counts as an attempt: when they are used up, the task is FAILED.
    """

    def __init__(
        self, after: Duration | None = None, reason: str = "The handler asked for it."
    ) -> None:
        super().__init__(reason)
        self.after_s = None if after is None else seconds(after)
        self.reason = reason


class Fatal(Exception):
    """Raise it when no further attempt can succeed: the task is FAILED at once, with `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Stopped(Exception):
    """What `Context.raise_if_cancelled` raises: the handler stops because somebody asked it to."""


class InvalidPayload(Exception):
    """The payload is not what the handler takes; the message says where and why, never the input."""


class ResultRefused(Exception):
    """What the handler returned cannot be kept."""


class BadDeclaration(TypeError):
    """A `@handler` that could never run; the message says what to change."""
