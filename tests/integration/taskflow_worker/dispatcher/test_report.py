"""What the dispatcher says about flows, to Redis and to the metrics."""

import time

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder, LeaseLost
from taskflow_core.db.link import Link
from taskflow_core.queue import keys
from taskflow_core.queue.signals import (
    FlowDepth,
    WorkerBeat,
    known_flows,
    read_flow,
    send_beat,
    send_depths,
)
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.report import Report
from taskflow_worker.dispatcher.timings import Timings
from tests.support.queue import OWNER, claim, complete, create, create_many, open_session

TIMINGS = Timings()


@pytest.fixture
def slots() -> dict[str, int]:
    return {}


@pytest.fixture
def report(
    leader: LeaderLink,
    redis: Redis,
    slots: dict[str, int],
    metrics: DispatcherMetrics,
) -> Report:
    return Report(
        *(leader, redis),
        slots=slots,
        target=len,
        metrics=metrics,
        timings=TIMINGS,
    )


async def depth(redis: Redis, flow: str = "default") -> tuple[int, int, int] | None:
    said = (await read_flow(redis, flow)).depth
    return None if said is None else (said.backlog, said.window, said.running)


def beat(
    replica: str, slots: int, *, at: float | None = None, stopping: bool = False
) -> WorkerBeat:
    now = time.time()
    return WorkerBeat(
        replica=replica,
        session=1,
        slots=slots,
        busy=0,
        oldest_running_s=0,
        mean_service_s=None,
        done=0,
        failed=0,
        loop_lag_s=0,
        rss_bytes=0,
        started_at=now,
        progress_at=now,
        stopping=stopping,
        at=at or now,
    )


async def test_what_waits_and_runs_is_said_for_every_flow(
    report: Report, redis: Redis, database: Database, link: Link, registry: CollectorRegistry
) -> None:
    await create_many(database, 3, publish=False)
    await create_many(database, 2)
    running = await create(database)
    await claim(link, await open_session(link), running)
    only_running = await create(database, flow="busy")
    await claim(link, await open_session(link, "busy"), only_running)
    await link.fetch("update tasks set run_at = run_at - interval '9 s' where waiting")

    assert await report.step() == TIMINGS.report_s

    assert await depth(redis) == (3, 2, 1)
    assert await depth(redis, "busy") == (0, 0, 1)
    said = (await read_flow(redis, "default")).depth
    assert said is not None
    assert said.oldest_wait_s == pytest.approx(9, abs=3)
    assert said.window_target == len("default")

    def sample(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"taskflow_queue_{name}", {"flow": "default"} | labels)

    assert sample("waiting", place="backlog") == 3
    assert sample("waiting", place="window") == 2
    assert sample("running") == 1
    assert sample("oldest_wait_seconds") == said.oldest_wait_s


async def test_a_flow_that_became_empty_is_said_to_be_empty(
    report: Report, redis: Redis, database: Database, link: Link, registry: CollectorRegistry
) -> None:
    task = await create(database)
    await report.step()
    assert await depth(redis) == (0, 1, 0)
    session = await open_session(link)
    await claim(link, session, task)
    await report.step()
    assert await depth(redis) == (0, 0, 1)

    await complete(link, session, task, 1)
    await report.step()

    assert await depth(redis) == (0, 0, 0)
    assert registry.get_sample_value("taskflow_queue_running", {"flow": "default"}) == 0


async def test_what_the_leader_before_left_behind_is_corrected(
    report: Report, redis: Redis
) -> None:
    stale = FlowDepth(
        backlog=9, window=9, window_target=100, running=9, oldest_wait_s=99, at=time.time()
    )
    await send_depths(redis, {"gone": stale})

    await report.step()

    assert await depth(redis, "gone") == (0, 0, 0)


async def test_flows_of_which_nobody_knows_any_more_leave_the_metrics(
    report: Report, database: Database, link: Link, redis: Redis, registry: CollectorRegistry
) -> None:
    labels = {"flow": "default", "place": "window"}
    await create(database)
    await report.step()
    await link.fetch("delete from tasks")
    await report.step()
    assert registry.get_sample_value("taskflow_queue_waiting", labels) == 0

    await redis.zrem(keys.FLOWS, "default")  # as after a day without work and workers
    await report.step()

    assert registry.get_sample_value("taskflow_queue_waiting", labels) is None
    assert registry.get_sample_value("taskflow_queue_running", {"flow": "default"}) is None


async def test_slots_are_those_of_living_workers_that_are_not_about_to_leave(
    report: Report, redis: Redis, database: Database, slots: dict[str, int]
) -> None:
    await create(database)
    await send_beat(redis, "default", beat("a", 20))
    await send_beat(redis, "default", beat("b", 8))
    await send_beat(redis, "default", beat("leaving", 100, stopping=True))
    await send_beat(redis, "default", beat("silent", 100, at=time.time() - 20))

    await report.step()
    assert slots == {"default": 28}

    await redis.delete(keys.workers("default"))
    await report.step()
    assert slots == {"default": 0}


async def test_garbage_of_one_flow_stops_no_other(
    report: Report, redis: Redis, database: Database
) -> None:
    await create(database, flow="bad")
    await create(database, flow="good")
    await redis.set(keys.workers("bad"), "?")
    await redis.set(keys.arrivals("bad"), "?")
    await redis.set(keys.FLOWS, "?")

    await report.step()

    assert await depth(redis, "bad") == await depth(redis, "good") == (0, 1, 0)
    assert await known_flows(redis) == ["bad", "good"]


async def test_a_thousand_flows_are_reported_in_one_step(
    report: Report, redis: Redis, link: Link
) -> None:
    await link.fetch(
        "insert into tasks (id, owner_id, title, flow, handler, waiting)"
        " select gen_random_uuid(), $1, 't', 'flow-' || n, 'echo', true"
        " from generate_series(1, 1000) n",
        OWNER,
    )

    await report.step()

    assert len(await known_flows(redis)) == 1_000
    assert await depth(redis, "flow-1000") == (1, 0, 0)


async def test_a_costly_report_rests_longer(
    leader: LeaderLink, redis: Redis, metrics: DispatcherMetrics, database: Database
) -> None:
    await create(database)
    ticks = iter([0.0])
    slow = Report(
        *(leader, redis),
        slots={},
        target=len,
        metrics=metrics,
        timings=TIMINGS,
        clock=lambda: next(ticks, 0.2),
    )

    assert await slow.step() == pytest.approx(4.0)


async def test_who_does_not_lead_says_nothing(
    report: Report, redis: Redis, database: Database, lease: LeaseHolder
) -> None:
    await create(database)
    await lease.release()

    with pytest.raises(LeaseLost):
        await report.step()

    assert await depth(redis) is None


async def test_an_idle_flow_with_workers_is_known_to_be_empty(report: Report, redis: Redis) -> None:
    await report.step()
    assert await depth(redis) is None

    await send_beat(redis, "default", beat("w", 2))  # a worker of a flow that never had a task
    await report.step()

    assert await depth(redis) == (0, 0, 0)
