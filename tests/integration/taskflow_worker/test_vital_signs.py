"""What a worker says about itself, and what it is taken for."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core.queue import signals
from tests.support.waiting import eventually
from tests.support.worker import FLOW, Lab


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
