"""One task's life as a line: what happened when, in milliseconds since it was created."""

import json
from dataclasses import dataclass
from datetime import datetime

from taskflow_cli.client import Submission, TaskView
from taskflow_cli.screen import duration


@dataclass(frozen=True, order=True)
class Step:
    """Something that happened `after_s` seconds after the creation."""

    after_s: float
    text: str


def life(submission: Submission, task: TaskView) -> str:
    """Return `created 0 ms → durable 3 ms → started 6 ms → COMPLETED 8 ms   {"n": 1}`.

    Creation, start and end are PostgreSQL's own times; durable is when the answer was here.
    """
    steps = [Step(0.0, "created"), _durable(submission)]
    if task.started_at is not None:
        again = f" (attempt {task.attempt})" if task.attempt > 1 else ""
        steps.append(Step(_since(task, task.started_at), f"started{again}"))
    if task.finished_at is not None:
        steps.append(Step(_since(task, task.finished_at), task.status))
    steps.sort(key=lambda step: step.after_s)
    return " → ".join(f"{step.text} {_time(step)}" for step in steps) + _outcome(task)


def _durable(submission: Submission) -> Step:
    """Say when the answer 201 came.

    By the task's own clock if that is ours (the creation lies between our request and its answer);
    else the whole round trip, which is at least as long.
    """
    created = submission.task.created_at.timestamp()
    if submission.sent_at <= created <= submission.answered_at:
        return Step(submission.answered_at - created, "durable")
    return Step(submission.answered_at - submission.sent_at, "durable ≤")


def _time(step: Step) -> str:
    return duration(max(0.0, step.after_s))


def _since(task: TaskView, moment: datetime) -> float:
    return (moment - task.created_at).total_seconds()


def _outcome(task: TaskView) -> str:
    if task.status == "FAILED" and task.error is not None:
        return f"   {reason(task)}"
    if task.result is None:
        return ""
    text = json.dumps(task.result, ensure_ascii=False)
    return f"   {text if len(text) <= _RESULT_CHARS else text[:_RESULT_CHARS] + ' …'}"


_RESULT_CHARS = 300


def reason(task: TaskView) -> str:
    """Return why a task failed, as one line."""
    error = task.error if isinstance(task.error, dict) else {}
    named, message = error.get("reason"), error.get("message") or error.get("detail")
    said = ": ".join(str(part) for part in (named, message) if part)
    return said or json.dumps(task.error, ensure_ascii=False)
