"""What becomes of an attempt, given what its handler raised."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from taskiq.exceptions import TaskRejectedError

from taskflow_core.tasks.retry import RetryPolicy
from taskflow_worker import Fatal, Retry
from taskflow_worker.attempt import Attempt, Ending, Outcome, Stop
from taskflow_worker.errors import InvalidPayload, ResultRefused, Stopped
from taskflow_worker.verdict import (
    MESSAGE_MAX,
    interrupted,
    readable,
    refused,
    unknown_handler,
    verdict,
)

POLICY = RetryPolicy(max_attempts=3, initial_s=1, factor=2, max_s=60)


def attempt(**fields: Any) -> Attempt:
    chosen: dict[str, Any] = {
        "task_id": "t",
        "number": 1,
        "max_attempts": 3,
        "handler": "a",
        "payload": None,
        "timeout_s": None,
        "traceparent": None,
        "waited_s": 0,
        "session": 1,
    }
    return Attempt(**(chosen | fields))


def longest(_low: float, high: float) -> float:
    return high


def judge(error: BaseException, **fields: Any) -> Ending:
    return verdict(attempt(**fields), error, POLICY, longest)


def body(ending: Ending) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ending.body)
    return read


def test_a_failure_is_tried_again_after_a_pause_that_grows() -> None:
    first = judge(ValueError("no"))
    second = judge(ValueError("no"), number=2)

    assert (first.outcome, first.pause_s) == (Outcome.RETRY, 1)
    assert (second.outcome, second.pause_s) == (Outcome.RETRY, 2)
    assert body(second) == {
        "reason": "HandlerError",
        "message": "no",
        "attempt": 2,
        "type": "ValueError",
    }


def test_the_last_failure_is_final() -> None:
    assert judge(ValueError("no"), number=3).outcome is Outcome.FAILED


def test_what_the_task_says_goes_before_what_the_handler_says() -> None:
    assert judge(ValueError("no"), number=3, max_attempts=9).outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Fatal("never"), "Fatal"),
        (TaskRejectedError(), "Fatal"),
        (InvalidPayload("/to: missing"), "InvalidPayload"),
        (ResultRefused("too long"), "ResultRefused"),
    ],
)
def test_what_can_never_succeed_is_not_tried_again(error: Exception, reason: str) -> None:
    ending = judge(error)

    assert (ending.outcome, body(ending)["reason"]) == (Outcome.FAILED, reason)


def test_a_handler_may_say_when_to_try_again() -> None:
    ending = judge(Retry(after="90s", reason="busy"))

    assert (ending.outcome, ending.pause_s) == (Outcome.RETRY, 90)
    assert (body(ending)["reason"], body(ending)["message"]) == ("Retry", "busy")


def test_a_handler_may_leave_the_pause_to_its_policy_and_use_its_attempts_up() -> None:
    assert judge(Retry(), number=2).pause_s == 2
    assert judge(Retry(after=0)).pause_s == 0
    assert judge(Retry(after=5), number=3).outcome is Outcome.FAILED


def test_a_timeout_says_so_whatever_the_handler_made_of_it() -> None:
    for error in (asyncio.CancelledError(), RuntimeError("while cleaning up")):
        ending = judge(error, stop=Stop.TIMEOUT)
        assert (ending.outcome, body(ending)["reason"]) == (Outcome.RETRY, "Timeout")
        assert "longer than its timeout" in body(ending)["message"]


def test_an_interrupted_attempt_is_tried_elsewhere_at_once_and_counts() -> None:
    stopped = judge(asyncio.CancelledError(), stop=Stop.INTERRUPT)
    last = interrupted(attempt(number=3, stop=Stop.INTERRUPT))

    assert (stopped.outcome, stopped.pause_s) == (Outcome.RETRY, 0)
    assert (last.outcome, body(last)["reason"]) == (Outcome.FAILED, "Interrupted")


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Stopped(), ValueError(), Fatal("x")])
def test_whoever_was_asked_to_cancel_and_raises_is_cancelled(error: BaseException) -> None:
    assert judge(error, cancel_requested=True) == Ending(Outcome.CANCELLED)


def test_a_cancellation_nobody_asked_for_is_the_handlers_error() -> None:
    ending = judge(asyncio.CancelledError())

    assert (ending.outcome, body(ending)["type"]) == (Outcome.RETRY, "CancelledError")
    assert body(ending)["reason"] == "HandlerError"


def test_an_unknown_handler_fails_with_its_name() -> None:
    ending = unknown_handler(attempt(handler="emials.send"))

    assert ending.outcome is Outcome.FAILED
    assert body(ending)["reason"] == "UnknownHandler"
    assert "emials.send" in body(ending)["message"]


def test_a_refused_result_fails_without_showing_it() -> None:
    assert body(refused(attempt(), ValueError("secret")))["reason"] == "ResultRefused"
    assert "secret" not in refused(attempt(), ValueError("secret")).body


@pytest.mark.parametrize(
    "message",
    [
        "cannot reach postgresql://app:hunter2@db/x",
        "401 for Authorization: Bearer hunter2.hunter2",
        "password=hunter2",
        "{'api_key': 'hunter2', 'n': 1}",
        'DB_PASSWORD: "hunter2"',
        "https://example.com/?token=hunter2&x=1",
    ],
)
def test_a_secret_in_a_message_is_hidden(message: str) -> None:
    assert "hunter2" not in judge(ValueError(message)).body


def test_a_validation_error_of_the_handlers_own_does_not_quote_its_input() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(dict[str, int]).validate_python({"pin": "hunter2"})

    message = body(judge(refused.value))["message"]
    assert message.startswith("/pin: Input should be a valid integer")
    assert "hunter2" not in message


def test_a_message_is_bounded() -> None:
    assert len(body(judge(ValueError("x" * 10_000_000)))["message"]) == MESSAGE_MAX


def test_an_error_whose_text_raises_is_still_an_error() -> None:
    class Hopeless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert body(judge(Hopeless()))["type"].endswith("Hopeless")


@given(st.text())
def test_every_message_can_be_kept_by_postgresql(text: str) -> None:
    kept = judge(ValueError(text + "\0\ud800")).body

    assert "\\u0000" not in kept.replace("\\\\", "")
    kept.encode()  # no lone surrogate
    json.loads(kept)


def test_what_is_readable_stays_as_it_is() -> None:
    assert readable("naïve 😀") == "naïve 😀"
