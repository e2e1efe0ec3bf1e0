"""What workers and dispatcher say about themselves in Redis, for the operator and `taskflow status`.

Signals are about the last seconds and may vanish; nothing that must be true is kept here.
"""

import time
from collections.abc import Mapping, Sequence
from typing import cast

import msgspec
import structlog
from redis import ResponseError
from redis.asyncio import Redis

from taskflow_core.queue import keys
from taskflow_core.queue.window import ARRIVALS_S, BUCKET_S, bucket_of

_log = structlog.get_logger(__name__)

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
    mean_service_s: float | None  # of ended tasks; None before the first
    done: int
    failed: int
    loop_lag_s: float
    rss_bytes: int
    started_at: float
    progress_at: float  # when a task last started or ended
    stopping: bool
    at: float
    running_s: float = 0.0  # for how long the tasks that run have run, all together


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


async def send_depths(
    redis: Redis, depths: Mapping[str, FlowDepth]
) -> dict[str, tuple[WorkerBeat, ...]]:
    """Publish what waits and runs in flows; return who works for each.

    Beats of workers that are long gone are dropped, and keys that hold something else than they should
    are deleted: they would silence that flow for ever.
    """
    workers = await _all_beats(redis, list(depths))
    async with redis.pipeline(transaction=False) as pipe:
        for flow, depth in depths.items():
            pipe.set(keys.depth(flow), msgspec.json.encode(depth).decode(), ex=DEPTH_TTL_S)
            if depth.waiting or depth.running:
                pipe.zadd(keys.FLOWS, {flow: depth.at})
            if gone := [name for name, beat in workers[flow].items() if _is_gone(beat, depth.at)]:
                pipe.hdel(keys.workers(flow), *gone)
        pipe.zremrangebyscore(keys.FLOWS, "-inf", time.time() - FLOW_TTL_S)
        await pipe.execute()
    return {
        flow: tuple(
            beat for beat in workers[flow].values() if beat and not _is_gone(beat, depth.at)
        )
        for flow, depth in depths.items()
    }


async def read_flow(redis: Redis, flow: str, now: float | None = None) -> FlowSignals:
    """Read all signals of a flow; beats older than a minute are left out."""
    at = time.time() if now is None else now
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hvals(keys.workers(flow))
        pipe.get(keys.depth(flow))
        pipe.hgetall(keys.arrivals(flow))
        beats, depth, arrivals = await pipe.execute()
    return FlowSignals(
        flow=flow,
        workers=tuple(
            sorted(
                (beat for beat in map(_beat, beats) if beat and not _is_gone(beat, at)),
                key=lambda beat: beat.replica,
            )
        ),
        depth=_decode(depth, FlowDepth) if depth else None,
        arrivals=_arrivals(arrivals, first=bucket_of(at - ARRIVALS_S)),
    )


async def known_flows(redis: Redis) -> list[str]:
    """Return the flows that had work or workers in the last day, by name."""
    return sorted(cast("list[str]", await redis.zrange(keys.FLOWS, 0, -1)))


async def _all_beats(redis: Redis, flows: Sequence[str]) -> dict[str, dict[str, WorkerBeat | None]]:
    """Return replica → beat for each flow, None for a beat that nobody can read."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.zcard(keys.FLOWS)
        for flow in flows:
            pipe.hlen(keys.arrivals(flow))
            pipe.hgetall(keys.workers(flow))
        answers = await pipe.execute(raise_on_error=False)
    asked = [keys.FLOWS] + [key(flow) for flow in flows for key in (keys.arrivals, keys.workers)]
    for key, answer in zip(asked, answers, strict=True):
        if isinstance(answer, ResponseError):
            if not str(answer).startswith("WRONGTYPE"):
                raise answer
            _log.warning("signals.mended", key=key)
            await redis.delete(key)
    return {
        flow: {name: _beat(raw) for name, raw in beats.items()} if isinstance(beats, dict) else {}
        for flow, beats in zip(flows, answers[2::2], strict=True)
    }


def _arrivals(raw: Mapping[str, str], *, first: int) -> dict[int, int]:
    return {
        int(bucket): int(count)
        for bucket, count in raw.items()
        if bucket.isdecimal() and count.isdecimal() and int(bucket) >= first
    }


def _is_gone(beat: WorkerBeat | None, now: float) -> bool:
    return beat is None or beat.at < now - BEAT_TTL_S


def _beat(raw: str) -> WorkerBeat | None:
    return _decode(raw, WorkerBeat)


def _decode[T](raw: str, type_: type[T]) -> T | None:
    """Decode a signal; None if it is not one. Its writer will overwrite it soon."""
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.DecodeError:
        return None
