"""Tasks from the window to their end, in a worker of this process."""

import asyncio
from typing import Any

from pydantic import BaseModel

from taskflow_core.queue import keys
from taskflow_worker import Context
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
