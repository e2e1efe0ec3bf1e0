"""Running tasks that somebody wants to stop."""

import asyncio
import threading
import time
from typing import Any

from taskflow_worker import Context
from tests.support.waiting import eventually
from tests.support.worker import Lab


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
