"""Progress of running tasks, as PostgreSQL has it."""

import asyncio

from taskflow_worker import Context
from tests.support.waiting import eventually
from tests.support.worker import Lab


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
