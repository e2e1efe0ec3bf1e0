"""One task's life in one line."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from taskflow_cli.client import Submission, TaskView
from taskflow_cli.life import life, reason

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def at(ms: float) -> datetime:
    return CREATED + timedelta(milliseconds=ms)


def task(**fields: Any) -> TaskView:
    defaults: dict[str, Any] = {
        "id": "t",
        "title": "t",
        "status": "COMPLETED",
        "flow": "default",
        "handler": "echo",
        "attempt": 1,
        "created_at": CREATED,
    }
    return TaskView(**(defaults | fields))


def submission(sent_ms: float = -1, answered_ms: float = 3) -> Submission:
    return Submission(task(), at(sent_ms).timestamp(), at(answered_ms).timestamp())


def test_a_completed_task_is_told_from_creation_to_result() -> None:
    ended = task(started_at=at(6), finished_at=at(8), result={"n": 1})

    assert life(submission(), ended) == (
        'created 0 ms → durable 3 ms → started 6 ms → COMPLETED 8 ms   {"n": 1}'
    )


def test_steps_stand_in_the_order_in_which_they_happened() -> None:
    ended = task(started_at=at(2), finished_at=at(3), result=1)

    assert life(submission(answered_ms=5), ended) == (
        "created 0 ms → started 2 ms → COMPLETED 3 ms → durable 5 ms   1"
    )


def test_with_another_clock_durable_is_only_said_to_be_within_the_round_trip() -> None:
    ended = task(started_at=at(6), finished_at=at(8))

    assert "durable ≤ 4 ms" in life(submission(sent_ms=60_000, answered_ms=60_004), ended)


def test_a_later_attempt_is_named() -> None:
    ended = task(attempt=3, started_at=at(2000), finished_at=at(2500), result=None)

    assert "started (attempt 3) 2.0 s" in life(submission(), ended)


def test_a_failure_says_why() -> None:
    ended = task(
        status="FAILED",
        started_at=at(6),
        finished_at=at(8),
        error={"reason": "Fatal", "message": "no such mailbox"},
    )

    assert life(submission(), ended).endswith("FAILED 8 ms   Fatal: no such mailbox")


def test_a_task_cancelled_before_it_started_has_no_start() -> None:
    ended = task(status="CANCELLED", finished_at=at(8))

    assert life(submission(), ended) == "created 0 ms → durable 3 ms → CANCELLED 8 ms"


def test_a_long_result_is_cut() -> None:
    line = life(submission(), task(finished_at=at(8), result="x" * 10_000))

    assert line.endswith(" …")
    assert len(line) < 400


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"reason": "Timeout"}, "Timeout"),
        ({"reason": "Fatal", "message": "no"}, "Fatal: no"),
        ({"other": 1}, '{"other": 1}'),
        (None, "null"),
        ("text", '"text"'),
    ],
)
def test_a_reason_is_found_in_whatever_the_error_is(error: object, said: str) -> None:
    assert reason(task(error=error)) == said
