"""Announcing tasks to workers: with room, without, and while Redis is in trouble."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from taskflow_api.tasks.publication import Publisher
from taskflow_cli.local.servers import EmbeddedValkey
from taskflow_core.ids import new_id
from taskflow_core.queue import keys
from taskflow_core.queue.signals import FlowDepth, read_flow, send_depths
from taskflow_core.queue.window import WINDOW_MAX, Entry, Window
from taskflow_core.redis import connect
from taskflow_core.settings import RedisSettings
from taskflow_core.tasks.states import Priority
from taskflow_core.telemetry.metrics import ApiMetrics
from tests.support.waiting import eventually


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def publisher(redis: Redis, registry: CollectorRegistry, clock: Clock) -> Publisher:
    return Publisher(redis, ApiMetrics(registry), clock=clock)


@pytest.fixture
async def nowhere(tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a Redis that is not there."""
    client = connect(RedisSettings(REDIS_URL=SecretStr(f"unix://{tmp_path}/none.sock")))
    yield client
    await client.aclose()


@contextmanager
def frozen(valkey: EmbeddedValkey) -> Iterator[None]:
    """Let Valkey neither answer nor hang up for a while."""
    assert valkey.process is not None
    os.kill(valkey.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey.process.pid, signal.SIGCONT)


def counted(registry: CollectorRegistry, outcome: str, flow: str = "default") -> float:
    labels = {"flow": flow, "outcome": outcome}
    return registry.get_sample_value("taskflow_publications_total", labels) or 0.0


def entry(priority: Priority = Priority.MEDIUM) -> Entry:
    return Entry(new_id(), priority)


def depth(target: int) -> FlowDepth:
    return FlowDepth(
        backlog=0, window=0, window_target=target, running=0, oldest_wait_s=0, at=time.time()
    )


async def arrivals(redis: Redis) -> int:
    return sum((await read_flow(redis, "default")).arrivals.values())


async def calls(redis: Redis) -> int:
    """Count the scripts that Redis has run."""
    stats = await redis.info("commandstats")
    return sum(s["calls"] for name, s in stats.items() if name.startswith("cmdstat_eval"))


async def test_an_entry_is_pushed_and_its_arrival_counted(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry
) -> None:
    high = entry(Priority.HIGH)

    await publisher.announce("default", high, arrivals=1)

    assert await Window(redis).task_ids("default") == {str(high.task_id)}
    assert await redis.llen(keys.ready_of("default", Priority.HIGH)) == 1
    assert await arrivals(redis) == 1
    assert counted(registry, "published") == 1


async def test_what_is_deferred_is_only_counted(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry
) -> None:
    await publisher.announce("default", arrivals=1)

    assert await Window(redis).length("default") == 0
    assert await arrivals(redis) == 1
    assert counted(registry, "deferred") == 1
    assert counted(registry, "published") == 0


async def test_what_is_announced_at_once_is_pushed_together(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry
) -> None:
    entries = [entry() for _ in range(200)]
    before = await calls(redis)

    await asyncio.gather(
        *(publisher.announce("default", one, arrivals=1) for one in entries),
        *(publisher.announce("other", arrivals=1) for _ in range(50)),
    )

    assert await calls(redis) - before <= 4
    assert await Window(redis).task_ids("default") == {str(one.task_id) for one in entries}
    assert await arrivals(redis) == 200
    assert (counted(registry, "published"), counted(registry, "deferred", "other")) == (200, 50)


async def test_nothing_is_left_behind_when_all_is_sent(publisher: Publisher) -> None:
    await asyncio.gather(*(publisher.announce(f"f{n}", arrivals=1) for n in range(50)))

    async def open_batches() -> int:
        return len(publisher._senders) + len(publisher._gathering)

    await eventually(open_batches, lambda count: count == 0)


async def test_a_client_that_leaves_takes_no_others_announcement_along(
    publisher: Publisher, redis: Redis
) -> None:
    mine, theirs = entry(), entry()
    leaving = asyncio.create_task(publisher.announce("default", mine, arrivals=1))
    staying = asyncio.create_task(publisher.announce("default", theirs, arrivals=1))
    await asyncio.sleep(0)  # both have joined the batch

    leaving.cancel()
    await staying

    assert await Window(redis).task_ids("default") == {str(mine.task_id), str(theirs.task_id)}


async def test_a_full_window_has_no_room_until_it_drains(
    publisher: Publisher, redis: Redis
) -> None:
    assert publisher.has_room("default"), "nothing is known of it yet"
    await Window(redis).publish("default", [entry() for _ in range(WINDOW_MAX)])

    await publisher.announce("default", arrivals=1)
    assert not publisher.has_room("default")
    assert publisher.has_room("other")

    await redis.delete(*keys.ready("default"))
    await publisher.announce("default", arrivals=1)
    assert publisher.has_room("default")


async def test_an_old_sight_of_a_full_window_is_not_believed(
    publisher: Publisher, redis: Redis, clock: Clock
) -> None:
    await Window(redis).publish("default", [entry() for _ in range(WINDOW_MAX)])
    await publisher.announce("default", arrivals=1)

    clock.now += 2

    assert publisher.has_room("default")


async def test_the_dispatchers_target_is_the_limit(
    publisher: Publisher, redis: Redis, clock: Clock
) -> None:
    await send_depths(redis, {"default": depth(target=2)})
    await publisher.announce("default", entry(), arrivals=1)
    assert publisher.has_room("default")

    await publisher.announce("default", entry(), arrivals=1)
    assert not publisher.has_room("default")

    await send_depths(redis, {"default": depth(target=10)})
    clock.now += 2
    await publisher.announce("default", entry(), arrivals=1)
    assert publisher.has_room("default")


@pytest.mark.parametrize("garbage", ["nonsense", "{}", '{"window_target": "x"}'])
async def test_a_target_that_cannot_be_read_is_no_failure(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry, garbage: str
) -> None:
    await redis.set(keys.depth("default"), garbage)

    await publisher.announce("default", entry(), arrivals=1)

    assert counted(registry, "published") == 1
    assert publisher.has_room("default")


async def test_without_redis_nothing_is_raised_and_redis_gets_a_rest(
    nowhere: Redis, registry: CollectorRegistry, clock: Clock
) -> None:
    publisher = Publisher(nowhere, ApiMetrics(registry), clock=clock)

    await publisher.announce("default", entry(), arrivals=1)

    assert counted(registry, "failed") == 1
    assert not publisher.has_room("default")
    assert not publisher.has_room("other"), "it is Redis that is away, not one flow"
    clock.now += 2
    assert publisher.has_room("default")


async def test_a_frozen_redis_is_waited_for_once_and_then_left_alone(
    redis: Redis, valkey: EmbeddedValkey, registry: CollectorRegistry
) -> None:
    publisher = Publisher(redis, ApiMetrics(registry))
    await publisher.announce("default", entry(), arrivals=1)

    with frozen(valkey):
        before = time.monotonic()
        await publisher.announce("default", entry(), arrivals=1)
        waited = time.monotonic() - before
        before = time.monotonic()
        await publisher.announce("default", arrivals=1)
        rested = time.monotonic() - before

    assert 0.2 < waited < 0.9
    assert rested < 0.1
    assert counted(registry, "failed") == 2


async def test_publishing_goes_on_when_redis_is_back(
    redis: Redis, valkey: EmbeddedValkey, registry: CollectorRegistry, clock: Clock
) -> None:
    publisher = Publisher(redis, ApiMetrics(registry), clock=clock, wait_s=0.05)
    with frozen(valkey):
        await publisher.announce("default", entry(), arrivals=1)
    clock.now += 2
    later = entry()

    await publisher.announce("default", later, arrivals=1)

    assert str(later.task_id) in await Window(redis).task_ids("default")
    assert counted(registry, "published") == 1


async def test_a_key_of_the_wrong_type_is_a_failed_publication(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry
) -> None:
    await redis.set(keys.ready_of("default", Priority.MEDIUM), "not a list")

    await publisher.announce("default", entry(), arrivals=1)

    assert counted(registry, "failed") == 1


async def test_scripts_that_redis_forgot_are_sent_again(
    publisher: Publisher, redis: Redis, registry: CollectorRegistry
) -> None:
    await publisher.announce("default", entry(), arrivals=1)
    await redis.script_flush()

    await publisher.announce("default", entry(), arrivals=1)

    assert counted(registry, "published") == 2


async def test_names_of_flows_that_clients_invent_do_not_fill_metrics_or_memory(
    publisher: Publisher, registry: CollectorRegistry
) -> None:
    for n in range(1_100):
        await publisher.announce(f"f{n}", arrivals=1)

    (family,) = [m for m in registry.collect() if m.name == "taskflow_publications"]
    totals = [sample for sample in family.samples if sample.name.endswith("_total")]
    assert len(totals) == 201
    assert counted(registry, "deferred", "(others)") == 900
    assert len(publisher._flows) == 1_000
