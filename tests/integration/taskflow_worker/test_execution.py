"""Tasks from the window to their end, in a worker of this process."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import Annotated, Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from redis.asyncio import Redis
from taskiq import (
    TaskiqDepends,
    TaskiqEvents,
    TaskiqMessage,
    TaskiqMiddleware,
    TaskiqResult,
    TaskiqState,
)

from taskflow_core.queue import keys, signals
from taskflow_worker import Context, Fatal, Retry
from taskflow_worker.payloads import RESULT_MAX_BYTES
from tests.support.waiting import eventually
from tests.support.worker import FLOW, Lab


class Email(BaseModel):
    to: str


async def test_a_task_is_claimed_run_and_completed_with_its_history(lab: Lab) -> None:
    @lab.broker.handler("send", retries=4)
    async def send(payload: Email, ctx: Context) -> dict[str, Any]:
        return {"to": payload.to, "key": ctx.fencing_key, "max": ctx.max_attempts, "flow": ctx.flow}

    task = await lab.create_one("send", {"to": "a@b"})
    async with lab.worker():
        result = await lab.result(task)

    assert result == {"to": "a@b", "key": f"{task}:1", "max": 5, "flow": FLOW}
    assert await lab.events(task) == ["created", "started", "completed"]
    assert await lab.row(task, "attempt, max_attempts, worker, error") == (1, 5, None, None)


async def test_many_tasks_run_at_once_but_never_more_than_there_are_slots(lab: Lab) -> None:
    running = most = 0

    @lab.broker.handler("wait")
    async def wait() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    await lab.create("wait", *[None] * 100)
    async with lab.worker(slots=7):
        await lab.all_completed(100)

    assert most == 7
    assert await lab.started_twice() == 0


async def test_what_does_not_fit_stays_in_the_window_for_others(lab: Lab) -> None:
    go = asyncio.Event()

    @lab.broker.handler("wait")
    async def wait() -> None:
        await go.wait()

    await lab.create("wait", *[None] * 10)
    async with lab.worker(slots=3):
        await eventually(
            lab.counts, lambda seen: seen == {"IN_PROGRESS": 3, "PENDING": 7}, what="three started"
        )
        assert await lab.window.length(FLOW) == 7, "nothing is hoarded"
        go.set()
        await lab.all_completed(10)


async def test_one_slot_is_enough(lab: Lab) -> None:
    @lab.broker.handler("wait")
    async def wait() -> None:
        await asyncio.sleep(0)

    await lab.create("wait", *[None] * 20)
    async with lab.worker(slots=1):
        await lab.all_completed(20)


# ---- outcomes


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


# ---- def handlers


async def test_a_plain_handler_blocks_a_thread_and_nothing_else(lab: Lab) -> None:
    barrier = threading.Barrier(5, timeout=10)

    @lab.broker.handler("block")
    def block() -> bool:
        barrier.wait()  # passes only if five run at once
        time.sleep(4 * lab_lease_s)
        return threading.current_thread() is threading.main_thread()

    lab_lease_s = 0.6 / 4
    tasks = await lab.create("block", *[None] * 5)
    async with lab.worker(slots=5) as worker:
        for task in tasks:
            assert await lab.result(task) is False
        assert worker.session.heart.age_s < 0.6, "heartbeats went on"


async def test_a_plain_handler_that_times_out_keeps_its_slot_and_does_not_run_twice_here(
    lab: Lab,
) -> None:
    release = threading.Event()
    starts: list[int] = []

    @lab.broker.handler("stuck", timeout="50ms", retries=5, backoff_max=0)
    def stuck(ctx: Context) -> None:
        starts.append(ctx.attempt)
        if ctx.attempt == 1:
            release.wait(20)

    @lab.broker.handler("quick")
    async def quick() -> None: ...

    task = await lab.create_one("stuck")
    async with lab.worker(slots=2) as worker, lab.dispatcher():
        await eventually(
            lambda: lab.events(task), lambda seen: "retried" in seen, what="the timeout"
        )
        assert worker.books.slots.busy == 1, "its thread still works"
        await lab.result(await lab.create_one("quick"))  # the other slot goes on
        # popped by now, and not claimed: an earlier attempt of it still runs here
        assert starts == [1]
        release.set()
        await lab.result(task)

    assert starts == [1, 2]
    assert not worker.books.ledger.ghosts


# ---- progress


async def test_progress_is_written_while_it_runs_and_once_more_at_the_end(lab: Lab) -> None:
    go = asyncio.Event()

    @lab.broker.handler("work")
    async def work(ctx: Context) -> None:
        await ctx.progress(0.25, "first")
        await ctx.progress(0.5, "rendered")
        await go.wait()
        await ctx.progress(1, "done")

    task = await lab.create_one("work")

    async def progress() -> object:
        return (await lab.row(task, "progress"))[0]

    async with lab.worker():
        await eventually(
            progress, lambda seen: seen == {"fraction": 0.5, "message": "rendered"}, what="progress"
        )
        go.set()
        await lab.result(task)

    assert await progress() == {"fraction": 1.0, "message": "done"}


async def test_progress_that_makes_no_sense_is_the_handlers_error(lab: Lab) -> None:
    @lab.broker.handler("work", retries=0)
    async def work(ctx: Context) -> None:
        await ctx.progress(50)

    task = await lab.create_one("work")
    async with lab.worker():
        assert (await lab.error(task))["message"].startswith("progress: fraction must be")


# ---- cancel


async def cancel(lab: Lab, task: str) -> None:
    await lab.link.fetch(
        "update tasks set cancel_requested_at = now() where id = $1::text::uuid", task
    )


async def test_a_cooperative_handler_stops_at_once_when_it_is_asked(lab: Lab) -> None:
    @lab.broker.handler("polite")
    async def polite(ctx: Context) -> None:
        await ctx.cancelled.wait()
        ctx.raise_if_cancelled()

    task = await lab.create_one("polite")
    async with lab.worker():
        await lab.reaches(task, "IN_PROGRESS")
        await cancel(lab, task)
        await lab.reaches(task, "CANCELLED", within_s=2)

    assert await lab.events(task) == ["created", "started", "cancelled"]


async def test_a_handler_that_finishes_anyway_is_completed(lab: Lab) -> None:
    @lab.broker.handler("finisher")
    async def finisher(ctx: Context) -> str:
        await ctx.cancelled.wait()
        return "sent already"

    task = await lab.create_one("finisher")
    async with lab.worker():
        await lab.reaches(task, "IN_PROGRESS")
        await cancel(lab, task)
        assert await lab.result(task) == "sent already"


async def test_a_deaf_handler_is_cancelled_after_the_grace_and_one_without_context_at_once(
    lab: Lab,
) -> None:
    stopped: dict[str, float] = {}

    @lab.broker.handler("deaf")
    async def deaf(ctx: Context) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            stopped["deaf"] = time.monotonic()

    @lab.broker.handler("blind")
    async def blind() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            stopped["blind"] = time.monotonic()

    tasks = [await lab.create_one("deaf"), await lab.create_one("blind")]
    async with lab.worker():
        for task in tasks:
            await lab.reaches(task, "IN_PROGRESS")
        for task in tasks:
            await cancel(lab, task)
        for task in tasks:
            await lab.reaches(task, "CANCELLED")

    assert stopped["deaf"] - stopped["blind"] > 0.2, "the grace is for those who can know"


async def test_a_plain_handler_is_cancelled_when_it_has_really_stopped(lab: Lab) -> None:
    release = threading.Event()

    @lab.broker.handler("thread")
    def thread(ctx: Context) -> None:
        release.wait(20)
        ctx.raise_if_cancelled()

    task = await lab.create_one("thread")
    async with lab.worker() as worker:
        await lab.reaches(task, "IN_PROGRESS")
        await cancel(lab, task)

        async def asked() -> bool:
            held = worker.books.ledger.find(task)
            return held is not None and held.cancel_requested

        await eventually(asked, bool, what="the request reaching the worker")
        assert await lab.status(task) == "IN_PROGRESS"
        release.set()
        await lab.reaches(task, "CANCELLED")


async def test_an_attempt_whose_row_was_taken_away_is_stopped(lab: Lab) -> None:
    stopped = asyncio.Event()

    @lab.broker.handler("work")
    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()

    task = await lab.create_one("work")
    async with lab.worker() as worker:
        await lab.reaches(task, "IN_PROGRESS")
        await lab.link.fetch("delete from tasks where id = $1::text::uuid", task)
        await asyncio.wait_for(stopped.wait(), 5)
        await eventually(_busy(worker), lambda busy: busy == 0, what="its slot coming free")


def _busy(worker: Any) -> Any:
    async def look() -> int:
        return int(worker.books.slots.busy)

    return look


# ---- Taskiq's features


class Recorder(TaskiqMiddleware):
    """Notes what it sees, and the status that PostgreSQL has at `post_save`."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab, self.seen = lab, list[str]()

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        self.seen.append(f"pre {message.labels['attempt']}")
        return message

    async def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        self.seen.append(f"saved {await self.lab.status(message.task_id)}")


async def test_middlewares_and_hooks_work_and_post_save_comes_when_it_is_saved(lab: Lab) -> None:
    recorder = Recorder(lab)
    lab.broker.add_middlewares(recorder)

    @lab.broker.on_event(TaskiqEvents.WORKER_STARTUP)
    async def start(state: TaskiqState) -> None:
        state.greeting = "hello"

    @lab.broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
    async def shut_down(state: TaskiqState) -> None:
        recorder.seen.append("shutdown")

    def greeting(state: Annotated[TaskiqState, TaskiqDepends()]) -> str:
        return str(state.greeting)

    @lab.broker.handler("greet")
    async def greet(name: str, greeting: Annotated[str, TaskiqDepends(greeting)]) -> str:
        return f"{greeting} {name}"

    task = await lab.create_one("greet", "Ada")
    async with lab.worker():
        assert await lab.result(task) == "hello Ada"

    assert recorder.seen == ["pre 1", "saved COMPLETED", "shutdown"]


# ---- garbage, duplicates


async def test_garbage_in_the_window_stops_nobody(lab: Lab) -> None:
    @lab.broker.handler("echo")
    async def echo(payload: int) -> int:
        return payload

    key = keys.ready(FLOW)[1]
    for garbage in (
        b"",
        b"\xff\xfe\x00",
        b"{}",
        b"not-a-uuid",
        b"00000000-0000-0000-0000-00000000000G:0:0",
        b"00000000-0000-0000-0000-000000000000:0:0",  # a task that nobody created
        b"x" * 100_000,
        b"'; drop table tasks; --",
    ):
        await lab.redis.rpush(key, garbage)
    tasks = await lab.create("echo", 1, 2, 3)
    async with lab.worker() as worker:
        assert [await lab.result(task) for task in tasks] == [1, 2, 3]
        assert worker.is_alive


async def test_a_duplicate_entry_starts_nothing_twice(lab: Lab) -> None:
    starts: list[str] = []

    @lab.broker.handler("work")
    async def work(ctx: Context) -> None:
        starts.append(ctx.task_id)
        await asyncio.sleep(0.02)

    tasks = await lab.create("work", *[None] * 20)
    for _ in range(5):
        await lab.publish(*tasks)
    async with lab.worker(slots=8):
        await lab.all_completed(20)
        await lab.publish(*tasks)  # and some more when all is over
        await eventually(
            lambda: lab.window.length(FLOW), lambda length: length == 0, what="an empty window"
        )

    assert sorted(starts) == sorted(tasks)


async def test_another_flows_tasks_are_left_alone(lab: Lab) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    (other,) = await lab.create("work", None, flow="other")
    mine = await lab.create_one("work")
    await lab.redis.delete(*keys.ready(FLOW))
    await lab.publish(mine)
    async with lab.worker():
        await lab.result(mine)
        assert await lab.status(other) == "PENDING"


# ---- signals and metrics


async def test_a_worker_says_how_it_is_and_takes_it_back_when_it_leaves(
    lab: Lab, redis: Redis
) -> None:
    go = asyncio.Event()
    registry = CollectorRegistry()

    @lab.broker.handler("wait")
    async def wait() -> None:
        await go.wait()

    async def beats() -> tuple[signals.WorkerBeat, ...]:
        return (await signals.read_flow(redis, FLOW)).workers

    tasks = await lab.create("wait", None, None)
    async with lab.worker(slots=4, registry=registry) as worker:
        (busy,) = await eventually(
            beats, lambda seen: bool(seen) and seen[0].busy == 2, what="two busy slots"
        )
        assert (busy.slots, busy.session, busy.stopping) == (4, worker.session.id, False)
        assert busy.rss_bytes > 10_000_000
        go.set()
        (done,) = await eventually(beats, lambda seen: seen[0].done == 2, what="two done")
        assert done.progress_at >= busy.progress_at

    assert await beats() == ()
    for task in tasks:
        await lab.reaches(task, "COMPLETED")
    labels = {"flow": FLOW, "handler": "wait", "outcome": "completed"}
    assert registry.get_sample_value("taskflow_task_finished_total", labels) == pytest.approx(2)
    assert registry.get_sample_value("taskflow_task_wait_seconds_count", {"flow": FLOW}) == 2
    assert registry.get_sample_value("taskflow_worker_slots") == 4


async def test_a_receiver_that_ends_by_itself_is_no_living_worker(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr("taskflow_worker.receiver.FlowReceiver.listen", broken)
    async with lab.worker() as worker:
        with pytest.raises(RuntimeError, match="out of order"):
            await asyncio.wait_for(worker.serve(asyncio.Event()), 5)
        assert not worker.is_alive


async def test_a_living_worker_serves_until_it_is_told_to_stop(lab: Lab) -> None:
    stop = asyncio.Event()
    async with lab.worker() as worker:
        serving = asyncio.create_task(worker.serve(stop))
        await asyncio.sleep(0)
        assert worker.is_alive
        assert not serving.done()
        stop.set()
        await asyncio.wait_for(serving, 5)
