"""What a handler may know and say."""

import pytest

from taskflow_worker import Context
from taskflow_worker.context import MESSAGE_MAX, Progress
from taskflow_worker.errors import Stopped


@pytest.fixture
def noted() -> list[Progress]:
    return []


@pytest.fixture
def ctx(noted: list[Progress]) -> Context:
    return Context(
        task_id="0190",
        attempt=2,
        max_attempts=3,
        flow="emails",
        handler="send",
        traceparent=None,
        note=noted.append,
    )


def test_the_fencing_key_names_the_attempt(ctx: Context) -> None:
    assert ctx.fencing_key == "0190:2"


async def test_progress_may_be_awaited_or_not(ctx: Context, noted: list[Progress]) -> None:
    await ctx.progress(0.5, "rendered")
    ctx.progress(1)

    assert noted == [Progress(0.5, "rendered"), Progress(1.0, "")]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5", None])
def test_progress_is_a_number_from_0_to_1(
    ctx: Context, noted: list[Progress], wrong: float
) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        ctx.progress(wrong)
    assert noted == []


def test_a_progress_message_is_bounded_and_can_be_kept(ctx: Context, noted: list[Progress]) -> None:
    ctx.progress(0, "a\0\ud800" + "x" * 1000)

    assert len(noted[0].message) == MESSAGE_MAX
    assert noted[0].message.startswith("a\ufffd?x")


def test_a_handler_can_end_itself_when_it_is_asked_to_stop(ctx: Context) -> None:
    ctx.raise_if_cancelled()
    ctx.cancelled.set()
    with pytest.raises(Stopped):
        ctx.raise_if_cancelled()


def test_the_log_says_which_attempt_speaks(ctx: Context) -> None:
    bound = ctx.log._context

    assert bound == {"task_id": "0190", "attempt": 2, "flow": "emails", "handler": "send"}
