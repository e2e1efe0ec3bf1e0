"""`def` handlers: in threads, which nobody can stop."""

import threading
import time

from taskflow_worker import Context
from tests.support.waiting import eventually
from tests.support.worker import Lab


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
