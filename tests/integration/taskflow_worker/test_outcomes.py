"""What becomes of a task whose handler raises, takes too long, or gives or gets the wrong thing."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import BaseModel

from taskflow_worker import Context, Fatal, Retry
from taskflow_worker.payloads import RESULT_MAX_BYTES
from tests.support.worker import Lab


class Email(BaseModel):
    to: str


async def test_a_failing_handler_is_tried_again_and_then_dead_lettered(lab: Lab) -> None:
    attempts: list[int] = []

    @lab.broker.handler("fail", retries=2, backoff_initial="10ms", backoff_max="10ms")
    async def fail(ctx: Context) -> None:
        attempts.append(ctx.attempt)
        raise ValueError("password=hunter2 was wrong")

    task = await lab.create_one("fail")
    async with lab.worker(), lab.dispatcher():
        error = await lab.error(task)

    assert attempts == [1, 2, 3]
    assert error == {
        "reason": "HandlerError",
        "message": "password=[hidden] was wrong",
        "attempt": 3,
        "type": "ValueError",
    }
    assert await lab.events(task) == [
        "created",
        *("started", "retried") * 2,
        "started",
        "dead_lettered",
    ]


async def test_an_unknown_handler_is_dead_lettered_at_once(lab: Lab) -> None:
    task = await lab.create_one("emials.send")
    async with lab.worker():
        error = await lab.error(task)

    assert error["reason"] == "UnknownHandler"
    assert "emials.send" in error["message"]


async def test_a_malformed_payload_is_dead_lettered_with_its_location_and_not_its_content(
    lab: Lab,
) -> None:
    @lab.broker.handler("send")
    async def send(payload: Email) -> None: ...

    wrong = await lab.create("send", {"to": 12345678}, None, [1], {"too": "hunter2"})
    right = await lab.create_one("send", {"to": "a@b"})
    async with lab.worker():
        errors = [await lab.error(task) for task in wrong]
        await lab.result(right)

    assert [error["reason"] for error in errors] == ["InvalidPayload"] * 4
    assert "/to: " in errors[0]["message"]
    assert not any("12345678" in str(error) or "hunter2" in str(error) for error in errors)


async def test_a_handler_decides_by_what_it_raises(lab: Lab) -> None:
    @lab.broker.handler("decide")
    async def decide(payload: str) -> None:
        raise Fatal("no such customer") if payload == "fatal" else Retry(after="1h", reason="busy")

    fatal, later = await lab.create("decide", "fatal", "later")
    async with lab.worker():
        assert (await lab.error(fatal))["reason"] == "Fatal"
        assert (await lab.error(later, status="PENDING"))["message"] == "busy"

    (wait,) = await lab.row(later, "run_at - now()")
    assert timedelta(minutes=59) < wait <= timedelta(hours=1)


async def test_no_exception_of_a_handler_ends_the_worker(lab: Lab) -> None:
    class Rude(BaseException):
        pass

    raised: dict[str, type[BaseException]] = {
        "exit": SystemExit,
        "interrupt": KeyboardInterrupt,
        "rude": Rude,
        "stop": StopIteration,
        "generator": GeneratorExit,
        "recursion": RecursionError,
        "cancelled": asyncio.CancelledError,
    }

    @lab.broker.handler("raise", retries=0)
    async def raises(payload: str) -> None:
        raise raised[payload]

    @lab.broker.handler("raise.later", retries=0)
    async def raises_later(payload: str) -> None:
        await asyncio.sleep(0)
        raise raised[payload]

    @lab.broker.handler("raise.thread", retries=0)
    def raises_in_thread(payload: str) -> None:
        raise raised[payload]

    tasks = [
        task
        for name in ("raise", "raise.later", "raise.thread")
        for task in await lab.create(name, *raised)
    ]
    async with lab.worker() as worker:
        errors = [await lab.error(task) for task in tasks]
        assert worker.is_alive

    assert {error["reason"] for error in errors} == {"HandlerError"}


@pytest.mark.parametrize(
    "bad", ["nul", "two megabytes", "object", "surrogate", "deep", "huge number"]
)
async def test_a_result_that_cannot_be_kept_fails_alone(lab: Lab, bad: str) -> None:
    values: dict[str, object] = {
        "nul": {"text": "a\0b"},
        "two megabytes": "x" * 2 * RESULT_MAX_BYTES,
        "object": object(),
        "surrogate": "\ud800",
        "huge number": 10**200_000,
    }
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    @lab.broker.handler("answer")
    async def answer(payload: bool) -> object:  # noqa: FBT001 - a payload
        return (deep if bad == "deep" else values[bad]) if payload else {"fine": True}

    fine = await lab.create("answer", *[False] * 20)
    culprit = await lab.create_one("answer", True)
    fine += await lab.create("answer", *[False] * 20)
    async with lab.worker(slots=50):
        error = await lab.error(culprit)
        results = [await lab.result(task) for task in fine]

    assert error["reason"] == "ResultRefused"
    assert error["attempt"] == 1, "it would be refused again"
    assert results == [{"fine": True}] * 40


async def test_a_result_that_only_postgresql_refuses_fails_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as if one of our own checks had a hole
    monkeypatch.setattr("taskflow_worker.plans.result_json", lambda _, value: value)

    @lab.broker.handler("answer")
    async def answer(payload: str) -> str:
        return payload

    tasks = await lab.create(
        "answer", *['"fine"'] * 30, '"\\u0000"', *['"fine"'] * 30, "1e999999", '"fine"'
    )
    async with lab.worker(slots=100):
        errors = [await lab.error(tasks[30]), await lab.error(tasks[61])]
        fine = [await lab.result(each) for each in tasks if each not in {tasks[30], tasks[61]}]

    assert [error["reason"] for error in errors] == ["ResultRefused"] * 2
    assert fine == ["fine"] * 61


async def test_a_timeout_of_the_handler_or_of_the_task_ends_an_attempt(lab: Lab) -> None:
    cleaned_up: list[str] = []

    @lab.broker.handler("slow", timeout="50ms", retries=0)
    async def slow(payload: str) -> str:
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            cleaned_up.append(payload)
            raise
        return payload

    by_handler = await lab.create_one("slow", "handler")
    by_task = await lab.create_one("slow", "task", timeout_s=0.02)
    patient = await lab.create_one("slow", "patient", timeout_s=10.0)
    async with lab.worker():
        errors = [await lab.error(by_handler), await lab.error(by_task)]
        assert await lab.result(patient) == "patient"

    assert [error["reason"] for error in errors] == ["Timeout"] * 2
    assert sorted(cleaned_up) == ["handler", "task"]
