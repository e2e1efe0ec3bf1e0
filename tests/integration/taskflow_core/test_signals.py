"""What workers and dispatcher say about themselves, and what garbage does not do to it."""

import time

from redis.asyncio import Redis

from taskflow_core.queue import keys
from taskflow_core.queue.signals import (
    BEAT_TTL_S,
    FlowDepth,
    WorkerBeat,
    known_flows,
    read_flow,
    send_beat,
    send_depths,
    withdraw_beat,
)
from taskflow_core.queue.window import BUCKET_S, Window, bucket_of


def beat(replica: str, *, at: float | None = None, slots: int = 20) -> WorkerBeat:
    now = time.time() if at is None else at
    return WorkerBeat(
        replica=replica,
        session=1,
        slots=slots,
        busy=1,
        oldest_running_s=0.5,
        mean_service_s=None,
        done=3,
        failed=1,
        loop_lag_s=0.0,
        rss_bytes=1 << 20,
        started_at=now,
        progress_at=now,
        stopping=False,
        at=now,
    )


def depth(*, backlog: int = 0, window: int = 0, running: int = 0) -> FlowDepth:
    return FlowDepth(
        backlog=backlog,
        window=window,
        window_target=100,
        running=running,
        oldest_wait_s=1.5,
        at=time.time(),
    )


async def test_what_was_sent_is_read(redis: Redis) -> None:
    said = depth(backlog=7, window=2)
    await send_beat(redis, "f", beat("b"))
    await send_beat(redis, "f", beat("a"))
    await send_depths(redis, {"f": said})
    await Window(redis).publish("f", [], arrivals=4)

    signals = await read_flow(redis, "f")

    assert [worker.replica for worker in signals.workers] == ["a", "b"]
    assert signals.depth == said
    assert said.waiting == 9
    assert sum(signals.arrivals.values()) == 4
    assert await known_flows(redis) == ["f"]


async def test_a_flow_of_which_nothing_is_known_has_no_signals(redis: Redis) -> None:
    signals = await read_flow(redis, "f")

    assert (signals.workers, signals.depth, dict(signals.arrivals)) == ((), None, {})


async def test_sending_depths_tells_who_works_there(redis: Redis) -> None:
    await send_beat(redis, "f", beat("a", slots=8))

    workers = await send_depths(redis, {"f": depth(), "g": depth()})

    assert [(one.replica, one.slots) for one in workers["f"]] == [("a", 8)]
    assert workers["g"] == ()


async def test_workers_long_gone_are_neither_read_nor_kept(redis: Redis) -> None:
    await send_beat(redis, "f", beat("gone", at=time.time() - BEAT_TTL_S - 1))
    await send_beat(redis, "f", beat("here"))

    assert [worker.replica for worker in (await read_flow(redis, "f")).workers] == ["here"]
    await send_depths(redis, {"f": depth()})
    assert list(await redis.hgetall(keys.workers("f"))) == ["here"]


async def test_a_worker_that_leaves_is_gone_at_once(redis: Redis) -> None:
    await send_beat(redis, "f", beat("a"))
    await withdraw_beat(redis, "f", "a")

    assert (await read_flow(redis, "f")).workers == ()


async def test_arrivals_per_second_are_those_of_full_buckets(redis: Redis) -> None:
    now = time.time()
    last = bucket_of(now) - 1
    await redis.hset(keys.arrivals("f"), mapping={last: 30, last - 1: 10, last + 1: 999})

    signals = await read_flow(redis, "f", now=now)

    assert signals.arrivals_per_s(2 * BUCKET_S, now) == 10
    assert signals.arrivals_per_s(1, now) == 15


async def test_a_flow_with_neither_work_nor_workers_is_not_kept_known(redis: Redis) -> None:
    await send_depths(redis, {"empty": depth(), "busy": depth(running=1)})

    assert await known_flows(redis) == ["busy"]


async def test_everything_has_an_expiry(redis: Redis) -> None:
    await send_beat(redis, "f", beat("a"))
    await send_depths(redis, {"f": depth(backlog=1)})
    await Window(redis).publish("f", [], arrivals=1)

    for key in (keys.workers("f"), keys.depth("f"), keys.arrivals("f")):
        assert await redis.ttl(key) > 0, key


async def test_signals_that_nobody_can_read_are_left_out_and_removed(redis: Redis) -> None:
    await send_beat(redis, "f", beat("good"))
    await redis.hset(keys.workers("f"), mapping={"text": "not json", "other": '{"replica": 7}'})
    await redis.hset(keys.workers("f"), b"bytes", b"\xff\xfe")
    await redis.set(keys.depth("f"), '{"backlog": "many"}')
    await redis.hset(keys.arrivals("f"), mapping={"soon": "1", str(bucket_of(time.time())): "x"})

    signals = await read_flow(redis, "f")

    assert [worker.replica for worker in signals.workers] == ["good"]
    assert signals.depth is None
    assert dict(signals.arrivals) == {}
    await send_depths(redis, {"f": depth()})
    assert list(await redis.hgetall(keys.workers("f"))) == ["good"]


async def test_keys_of_another_type_are_replaced_and_stop_no_other_flow(redis: Redis) -> None:
    await send_beat(redis, "good", beat("a"))
    for key in (keys.FLOWS, keys.workers("bad"), keys.arrivals("bad")):
        await redis.set(key, "?")
    await redis.lpush(keys.depth("bad"), "?")

    workers = await send_depths(redis, {"bad": depth(backlog=1), "good": depth(backlog=1)})

    assert [one.replica for one in workers["good"]] == ["a"]
    assert await known_flows(redis) == ["bad", "good"]
    await send_beat(redis, "bad", beat("b"))
    await Window(redis).publish("bad", [], arrivals=1)
    signals = await read_flow(redis, "bad")
    assert signals.depth is not None
    assert len(signals.workers) == len(signals.arrivals) == 1
