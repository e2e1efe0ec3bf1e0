"""`python -m taskflow_worker` as a process: how it starts, how it stops, how it is killed."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx
import psutil
import pytest
from redis.asyncio import Redis

from taskflow_core.queue import signals
from tests.support.waiting import eventually
from tests.support.worker import FLOW, Lab, WorkerProcess, install_handlers, worker_process

type Start = Callable[..., WorkerProcess]

HANDLERS = """
import asyncio, threading, time
from pydantic import BaseModel
from taskflow_worker import Context, handler

class Order(BaseModel):
    n: int

@handler("orders.ship", retries=1)
async def ship(payload: Order, ctx: Context) -> Order:
    return Order(n=payload.n + 1)

@handler("nap", backoff_initial="10ms")
async def nap(payload: float) -> None:
    await asyncio.sleep(payload)

@handler("thread.forever")
def thread_forever() -> None:
    threading.Event().wait()

@handler("stubborn")
async def stubborn() -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@handler("dies.with.the.process")
async def dies() -> None:
    import os
    os._exit(137)
"""


@pytest.fixture
def start(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Start]:
    """Start worker processes that know HANDLERS; they are killed at the end of the test."""
    install_handlers(tmp_path, HANDLERS)
    with ExitStack() as stack:

        def one(**env: str) -> WorkerProcess:
            log = tmp_path / f"worker-{len(list(tmp_path.glob('worker-*')))}.log"
            process: AbstractContextManager[WorkerProcess] = worker_process(
                log, database_url, redis_url, python_path=tmp_path, **env
            )
            return stack.enter_context(process)

        yield one


async def test_a_handler_package_is_found_and_its_tasks_run(lab: Lab, start: Start) -> None:
    task = await lab.create_one("orders.ship", {"n": 1})
    start()

    assert await lab.result(task, within_s=20) == {"n": 2}
    assert await lab.row(task, "max_attempts") == (2,)


# ---- stopping


async def test_an_idle_worker_stops_within_three_seconds_and_says_goodbye(
    lab: Lab, start: Start, redis: Redis
) -> None:
    worker = start()
    await worker.says("worker.session_opened")
    await eventually(
        lambda: signals.read_flow(redis, FLOW), lambda seen: len(seen.workers) == 1, what="a beat"
    )

    code, took_s = await worker.stop()

    assert code == 0
    assert took_s <= 3
    assert [reason for _, reason in await lab.sessions()] == ["stopped"]
    assert (await signals.read_flow(redis, FLOW)).workers == ()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_runs_may_finish_within_the_grace(
    lab: Lab, start: Start, number: signal.Signals
) -> None:
    worker = start()
    task = await lab.create_one("nap", 1.0)
    await lab.reaches(task, "IN_PROGRESS", within_s=20)

    worker.signal(number)

    assert await worker.ends() == 0
    assert await lab.events(task) == ["created", "started", "completed"]


async def test_what_does_not_finish_is_interrupted_and_tried_again_elsewhere(
    lab: Lab, start: Start
) -> None:
    worker = start(TASKFLOW_GRACE_S="0.3")
    task = await lab.create_one("nap", 60.0)
    await lab.reaches(task, "IN_PROGRESS", within_s=20)

    code, took_s = await worker.stop()

    assert code == 0
    assert took_s < 5
    assert await lab.row(task, "status, attempt, error ->> 'reason', run_at <= now()") == (
        "PENDING",
        1,
        "Interrupted",
        True,
    )


async def test_a_second_signal_hands_back_at_once(lab: Lab, start: Start) -> None:
    worker = start(TASKFLOW_GRACE_S="600")
    task = await lab.create_one("nap", 60.0)
    await lab.reaches(task, "IN_PROGRESS", within_s=20)

    worker.signal(signal.SIGTERM)
    await worker.says("worker.stopping")
    code, took_s = await worker.stop()

    assert code == 0
    assert took_s < 4
    assert await lab.status(task) == "PENDING"


@pytest.mark.parametrize("handler", ["thread.forever", "stubborn"])
async def test_a_handler_that_never_stops_does_not_keep_the_process(
    lab: Lab, start: Start, handler: str
) -> None:
    worker = start(TASKFLOW_GRACE_S="0.2")
    task = await lab.create_one(handler)
    await lab.reaches(task, "IN_PROGRESS", within_s=20)

    code, took_s = await worker.stop()

    assert code == 1, "it is not the clean end that 0 would promise"
    assert took_s < 10
    assert (await lab.error(task, status="PENDING"))["reason"] == "Interrupted"


async def test_nothing_that_was_fetched_vanishes_when_a_busy_worker_stops(
    lab: Lab, start: Start
) -> None:
    worker = start(TASKFLOW_SLOTS="4")
    tasks = await lab.create("nap", *[0.02] * 500)
    await eventually(
        lab.counts, lambda seen: seen.get("COMPLETED", 0) > 20, within_s=20, what="some work"
    )

    code, _ = await worker.stop()

    assert code == 0
    counts = await lab.counts()
    assert counts.keys() <= {"COMPLETED", "PENDING"}
    assert 20 < counts["COMPLETED"] < len(tasks)
    waiting = await lab.link.fetch("select id::text from tasks where waiting")
    window = await lab.window.task_ids(FLOW)
    returned = await lab.link.fetch(
        "select id::text from tasks where waiting and published_at is null"
    )
    assert {row[0] for row in waiting} == window | {row[0] for row in returned}


async def test_a_rolling_restart_under_load_starts_nothing_twice(lab: Lab, start: Start) -> None:
    first = start()
    tasks = await lab.create("nap", *[0.01] * 600)
    async with lab.dispatcher():
        await eventually(
            lab.counts, lambda seen: seen.get("COMPLETED", 0) > 20, within_s=20, what="some work"
        )
        start()
        code, _ = await first.stop()
        await lab.all_completed(len(tasks))

    assert code == 0
    assert await lab.started_twice() == 0


# ---- being killed


async def test_what_a_killed_worker_ran_runs_again_and_completes_once(
    lab: Lab, start: Start
) -> None:
    first = start()
    tasks = await lab.create("nap", *[0.5] * 10)
    await eventually(
        lab.counts, lambda seen: seen.get("IN_PROGRESS", 0) == 10, within_s=20, what="ten running"
    )

    first.signal(signal.SIGKILL)
    await first.ends()
    start()
    async with lab.dispatcher(lease_s=6):  # the second one beats every five
        await lab.all_completed(10, within_s=25)

    assert await lab.completed_twice() == 0
    assert await lab.events(tasks[0]) == [
        "created",
        "started",
        "lease_lost",
        "started",
        "completed",
    ]


async def test_a_task_that_kills_its_worker_ends_in_the_dead_letters(
    lab: Lab, start: Start
) -> None:
    task = await lab.create_one("dies.with.the.process", max_attempts=2)
    for _ in range(2):
        assert await start().ends() == 137
        await lab.expire()
        await lab.top_up()

    assert (await lab.error(task))["reason"] == "WorkerLost"


async def test_a_frozen_worker_is_told_that_its_tasks_are_not_its_own_any_more(
    lab: Lab, start: Start
) -> None:
    frozen = start(TASKFLOW_SLOTS="2")
    task = await lab.create_one("nap", 2.0)
    await lab.reaches(task, "IN_PROGRESS", within_s=20)
    frozen.signal(signal.SIGSTOP)
    await lab.expire()  # as after 15 seconds
    other = start()
    async with lab.dispatcher():
        await lab.result(task, within_s=20)
    await other.stop()

    frozen.signal(signal.SIGCONT)

    await frozen.says("worker.session_over")
    assert await lab.events(task) == ["created", "started", "lease_lost", "started", "completed"]
    assert await lab.result(await lab.create_one("orders.ship", {"n": 1})) == {"n": 2}
    assert await lab.completed_twice() == 0


# ---- starting badly


async def test_bad_settings_are_one_sentence_each_and_exit_code_2(
    tmp_path: Path, redis_url: str
) -> None:
    with worker_process(
        tmp_path / "log", "mysql://secret@x/y", redis_url, TASKFLOW_SLOTS="0"
    ) as worker:
        assert await worker.ends() == 2
        lines = worker.raw_log.splitlines()

    assert len(lines) == 2
    assert lines[0].startswith("TASKFLOW_SLOTS: ")
    assert lines[1].startswith("DATABASE_URL: must start with postgresql://")
    assert "secret" not in worker.raw_log


async def test_a_broken_handler_package_is_named_and_exit_code_2(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    install_handlers(tmp_path, "import nowhere_to_be_found", name="broken")
    with worker_process(tmp_path / "log", database_url, redis_url, python_path=tmp_path) as worker:
        assert await worker.ends() == 2
        (line,) = worker.said("worker.handlers_broken")

    assert "'broken'" in line["reason"]
    assert "No module named 'nowhere_to_be_found'" in line["reason"]


async def test_a_start_up_hook_that_fails_is_exit_code_1(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    install_handlers(
        tmp_path,
        """
from taskiq import TaskiqEvents
from taskflow_worker.broker import broker

@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def start(state) -> None:
    raise RuntimeError("no licence")
""",
    )
    with worker_process(tmp_path / "log", database_url, redis_url, python_path=tmp_path) as worker:
        assert await worker.ends() == 1
        assert "no licence" in str(worker.said("worker.failed"))


async def test_a_metrics_port_that_is_taken_is_a_wrong_setting(
    lab: Lab, tmp_path: Path, database_url: str, redis_url: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with worker_process(
            tmp_path / "log", database_url, redis_url, TASKFLOW_METRICS_PORT=port
        ) as worker:
            assert await worker.ends() == 2

    assert f"TASKFLOW_METRICS_PORT: port {port}" in worker.raw_log
    assert "Traceback" not in worker.raw_log
    assert all(reason == "stopped" for _, reason in await lab.sessions())


async def test_metrics_and_liveness_are_served_while_every_dependency_is_away(
    tmp_path: Path,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    with worker_process(
        tmp_path / "log", nowhere, "redis://127.0.0.1:1/0", TASKFLOW_METRICS_PORT=str(port)
    ) as worker:
        await worker.says("worker.started")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/livez")).status_code == 200
            metrics = (await client.get("/metrics")).text
        code, took_s = await worker.stop()

    assert "taskflow_worker_slots 20.0" in metrics
    assert "process_resident_memory_bytes" in metrics
    assert code == 0
    assert took_s <= 4
    assert len(worker.said("database.lost")) <= 8, "an outage is a few lines, not a flood"


async def test_memory_settles_under_load(lab: Lab, start: Start) -> None:
    worker = start(TASKFLOW_SLOTS="50")
    process = psutil.Process(worker.process.pid)
    rss: list[int] = []
    for round_ in range(1, 4):
        await lab.create("orders.ship", *[{"n": 1}] * 3000)
        await lab.all_completed(3000 * round_)
        rss.append(process.memory_info().rss)

    assert rss[2] < rss[1] * 1.05, "nothing of a finished task is kept"
