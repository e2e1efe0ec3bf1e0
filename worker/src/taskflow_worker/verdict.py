"""What becomes of an attempt that did not return: one function from an exception to an ending."""

import asyncio
import random
import re
from collections.abc import Callable

import msgspec
from pydantic import ValidationError
from taskiq.exceptions import TaskRejectedError

from taskflow_core.tasks.retry import RetryPolicy
from taskflow_worker.attempt import Attempt, Ending, Outcome, Stop
from taskflow_worker.errors import Fatal, InvalidPayload, ResultRefused, Retry
from taskflow_worker.problems import problems

MESSAGE_MAX = 500  # characters of an error's message that are kept

_SECRETS = (
    # user:password@ in a URL
    (re.compile(r"(?<=://)[^/\s@]+@"), "[hidden]@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 [hidden]"),
    (
        re.compile(
            r"(?i)([\"']?\b[\w-]*(?:password|passwd|secret|token|api[_-]?key|authorization)"
            r"[\"']?\s*[=:]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
        ),
        r"\1[hidden]",
    ),
)
# no further attempt can be better
_FINAL: dict[type[BaseException], str] = {
    Fatal: "Fatal",
    TaskRejectedError: "Fatal",
    InvalidPayload: "InvalidPayload",
    ResultRefused: "ResultRefused",
}


def verdict(
    attempt: Attempt,
    error: BaseException,
    policy: RetryPolicy,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Ending:
    """Decide how `attempt` ends, given what its handler raised.

    Whoever was asked to cancel and raises, whatever it is, has been cancelled. What can never succeed is
    FAILED; the rest is tried again, after a pause with full jitter, until the attempts are used up.
    """
    if attempt.cancel_requested:
        return Ending(Outcome.CANCELLED)
    for final, reason in _FINAL.items():
        if isinstance(error, final):
            return Ending(Outcome.FAILED, error_body(attempt, reason, error))
    reason, pause_s = _again(attempt, error, policy, uniform)
    body = error_body(attempt, reason, error)
    return Ending(Outcome.FAILED, body) if attempt.is_last else Ending(Outcome.RETRY, body, pause_s)


def unknown_handler(attempt: Attempt) -> Ending:
    """End an attempt for which this worker has no code."""
    message = f"No worker of this flow has a handler named {attempt.handler[:100]!r}."
    return Ending(Outcome.FAILED, _body(attempt, "UnknownHandler", message, "LookupError"))


def refused(attempt: Attempt, error: BaseException) -> Ending:
    """End an attempt whose result PostgreSQL would not take."""
    message = f"PostgreSQL cannot keep the result ({type(error).__name__})."
    return Ending(Outcome.FAILED, _body(attempt, "ResultRefused", message, "ResultRefused"))


def interrupted(attempt: Attempt) -> Ending:
    """End an attempt whose handler did not even stop when it was told to."""
    return verdict(attempt, asyncio.CancelledError(), RetryPolicy())


def error_body(attempt: Attempt, reason: str, error: BaseException) -> str:
    """Return the JSON people see: reason, a bounded message without secrets, attempt, type."""
    if attempt.stop is Stop.TIMEOUT and reason == "Timeout":
        message = "The attempt took longer than its timeout."
    elif attempt.stop is Stop.INTERRUPT and reason == "Interrupted":
        message = "The worker stopped before the attempt had ended."
    else:
        message = _message(error)
    return _body(attempt, reason, message, type(error).__qualname__)


def readable(text: str) -> str:
    """Return text as PostgreSQL can keep it: no NUL, no half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _again(
    attempt: Attempt,
    error: BaseException,
    policy: RetryPolicy,
    uniform: Callable[[float, float], float],
) -> tuple[str, float]:
    pause_s = policy.pause_s(attempt.number, uniform)
    if isinstance(error, Retry):
        return "Retry", pause_s if error.after_s is None else error.after_s
    if attempt.stop is Stop.INTERRUPT:
        return "Interrupted", 0.0  # it is not the task's fault: elsewhere, at once
    if attempt.stop is Stop.TIMEOUT:
        return "Timeout", pause_s
    return "HandlerError", pause_s


def _body(attempt: Attempt, reason: str, message: str, type_: str) -> str:
    body = {"reason": reason, "message": message, "attempt": attempt.number, "type": type_}
    return msgspec.json.encode(body).decode()


def _message(error: BaseException) -> str:
    try:
        # pydantic's own text quotes the input
        text = problems(error) if isinstance(error, ValidationError) else str(error)
    except Exception:  # noqa: BLE001 - a __str__ that raises must not hide the failure itself
        text = ""
    text = text[: 4 * MESSAGE_MAX]
    for pattern, hidden in _SECRETS:
        text = pattern.sub(hidden, text)
    text = readable(text)
    return text if len(text) <= MESSAGE_MAX else text[: MESSAGE_MAX - 1] + "…"
