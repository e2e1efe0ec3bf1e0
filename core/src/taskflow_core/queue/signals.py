"""What workers and dispatcher say about themselves in Redis, for the operator and `taskflow status`.

Signals are about the last seconds and may vanish; nothing that must be true is kept here.
"""

import time
from collections.abc import Mapping
from typing import cast

import msgspec
from redis.asyncio import Redis

from taskflow_core.queue import keys
from taskflow_core.queue.window import ARRIVALS_S, BUCKET_S, bucket_of

BEAT_TTL_S = 60  # a worker's signals outlive its last heartbeat by this much
DEPTH_TTL_S = 60
FLOW_TTL_S = 24 * 3600


class WorkerBeat(msgspec.Struct, frozen=True):
    """One replica, as of `at` (Unix seconds). Durations in seconds, sizes in bytes."""

    replica: str
    session: int
    slots: int
    busy: int
    oldest_running_s: float
    mean_service_s: float | None  # None until 20 tasks have ended
    done: int
    failed: int
    loop_lag_s: float
    rss_bytes: int
    started_at: float
    progress_at: float  # when a task last started or ended
    stopping: bool
    at: float


class FlowDepth(msgspec.Struct, frozen=True):
    """What waits and runs in a flow, as the dispatcher saw it at `at` (Unix seconds).

    `backlog` waits in PostgreSQL (counted up to 100,000), `window` was published, `window_target` is
    how long the dispatcher lets the window become.
    """

    backlog: int
    window: int
    window_target: int
    running: int
    oldest_wait_s: float
    at: float

    @property
    def waiting(self) -> int:
        """Everything that could run now and does not."""
        return self.backlog + self.window


class FlowSignals(msgspec.Struct, frozen=True):
    """All signals of one flow: `workers` that beat lately, `depth` if known, arrivals by bucket."""

    flow: str
    workers: tuple[WorkerBeat, ...]
    depth: FlowDepth | None
    arrivals: Mapping[int, int]

    def arrivals_per_s(self, over_s: float, now: float) -> float:
        """Return the mean rate of arrivals in the last full buckets that make up `over_s` seconds."""
        last = bucket_of(now) - 1
        buckets = max(1, int(over_s // BUCKET_S))
        arrived = sum(self.arrivals.get(last - k, 0) for k in range(buckets))
        return arrived / (buckets * BUCKET_S)


async def send_beat(redis: Redis, flow: str, beat: WorkerBeat) -> None:
    """Publish a worker's heartbeat."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hset(keys.workers(flow), beat.replica, msgspec.json.encode(beat).decode())
        pipe.expire(keys.workers(flow), BEAT_TTL_S)
        pipe.zadd(keys.FLOWS, {flow: beat.at})
        await pipe.execute()


async def withdraw_beat(redis: Redis, flow: str, replica: str) -> None:
    """Take a worker that leaves out of the signals."""
    await redis.hdel(keys.workers(flow), replica)


async def send_depth(redis: Redis, flow: str, depth: FlowDepth) -> None:
    """Publish what waits and runs in a flow, and drop beats of workers that are long gone."""
    beats = await _beats(redis, flow)
    stale = [beat.replica for beat in beats if beat.at < depth.at - BEAT_TTL_S]
    async with redis.pipeline(transaction=False) as pipe:
        pipe.set(keys.depth(flow), msgspec.json.encode(depth).decode(), ex=DEPTH_TTL_S)
        pipe.zadd(keys.FLOWS, {flow: depth.at})
        pipe.zremrangebyscore(keys.FLOWS, "-inf", depth.at - FLOW_TTL_S)
        if stale:
            pipe.hdel(keys.workers(flow), *stale)
        await pipe.execute()


async def read_flow(redis: Redis, flow: str, now: float | None = None) -> FlowSignals:
    """Read all signals of a flow; beats older than a minute are left out."""
    at = time.time() if now is None else now
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hvals(keys.workers(flow))
        pipe.get(keys.depth(flow))
        pipe.hgetall(keys.arrivals(flow))
        beats, depth, arrivals = await pipe.execute()
    first = bucket_of(at - ARRIVALS_S)
    return FlowSignals(
        flow=flow,
        workers=tuple(
            sorted(
                (beat for beat in map(_beat, beats) if beat.at >= at - BEAT_TTL_S),
                key=lambda beat: beat.replica,
            )
        ),
        depth=msgspec.json.decode(depth, type=FlowDepth) if depth else None,
        arrivals={int(b): int(n) for b, n in arrivals.items() if int(b) >= first},
    )


async def known_flows(redis: Redis) -> list[str]:
    """Return the flows that had work or workers in the last day, by name."""
    return sorted(cast("list[str]", await redis.zrange(keys.FLOWS, 0, -1)))


async def _beats(redis: Redis, flow: str) -> list[WorkerBeat]:
    return [_beat(raw) for raw in cast("list[str]", await redis.hvals(keys.workers(flow)))]


def _beat(raw: str) -> WorkerBeat:
    return msgspec.json.decode(raw, type=WorkerBeat)
