"""What every flow is doing, in one line each and as JSON."""

import time
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from taskflow_cli.screen import count, duration
from taskflow_core.queue.signals import FlowSignals, WorkerBeat, known_flows, read_flow

_RATE_OVER_S = 10.0
ALIVE_S = 15.0  # a worker that is silent for longer has lost its lease


async def read_flows(redis: Redis) -> list[FlowSignals]:
    """Read the signals of all flows that had work or workers in the last day."""
    return [await read_flow(redis, flow) for flow in await known_flows(redis)]


def alive(signals: FlowSignals, now: float) -> list[WorkerBeat]:
    """Return the workers that would get work now."""
    return [beat for beat in signals.workers if beat.at >= now - ALIVE_S and not beat.stopping]


def mean_service_s(beats: list[WorkerBeat]) -> float | None:
    """Return the mean time of a task over workers, each weighted by the tasks it has ended."""
    known = [(b.mean_service_s, max(1, b.done + b.failed)) for b in beats if b.mean_service_s]
    total = sum(weight for _, weight in known)
    return sum(mean * weight for mean, weight in known) / total if known else None


def as_json(signals: FlowSignals, now: float) -> dict[str, Any]:
    """Return a flow as `taskflow status --json` shows it. Times in seconds."""
    beats, depth = alive(signals, now), signals.depth
    return {
        "flow": signals.flow,
        "waiting": depth.waiting if depth else None,
        "window": depth.window if depth else None,
        "running": depth.running if depth else None,
        "oldest_wait_s": depth.oldest_wait_s if depth else None,
        "arrivals_per_s": signals.arrivals_per_s(_RATE_OVER_S, now),
        "mean_service_s": mean_service_s(beats),
        "slots": sum(beat.slots for beat in beats),
        "busy": sum(beat.busy for beat in beats),
        "workers": [
            {
                "replica": beat.replica,
                "slots": beat.slots,
                "busy": beat.busy,
                "done": beat.done,
                "failed": beat.failed,
                "mean_service_s": beat.mean_service_s,
                "started_at": beat.started_at,
            }
            for beat in beats
        ],
    }


class Tally:
    """Counts what workers have ended, also over the ends of workers."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, int], int] = {}
        self._done: dict[str, int] = {}

    def done(self, signals: FlowSignals) -> int:
        """Return how many tasks of the flow have ended, one way or the other, since we began."""
        for beat in signals.workers:
            key = (signals.flow, beat.session)
            ended = beat.done + beat.failed
            news = ended - self._last.get(key, 0)
            self._last[key] = ended
            self._done[signals.flow] = self._done.get(signals.flow, 0) + max(0, news)
        return self._done.get(signals.flow, 0)


def line(signals: FlowSignals, done: int, expected: Mapping[str, int], now: float) -> str:
    """Return `default  waiting 0  running 0  done 1  workers 2/2 idle`."""
    beats, depth = alive(signals, now), signals.depth
    busy, slots = sum(beat.busy for beat in beats), sum(beat.slots for beat in beats)
    waiting = count(depth.waiting) if depth else "?"
    running = depth.running if depth else busy
    workers = f"{len(beats)}/{expected.get(signals.flow, len(beats))}"
    doing = f"{busy}/{slots} slots busy" if busy else "idle"
    late = f"  oldest waits {duration(depth.oldest_wait_s)}" if depth and depth.waiting else ""
    return (
        f"{signals.flow}  waiting {waiting}  running {count(running)}  done {count(done)}"
        f"  workers {workers} {doing}{late}"
    )


async def lines(redis: Redis, tally: Tally, expected: Mapping[str, int]) -> list[str]:
    """Return the line of every flow."""
    now = time.time()
    return [line(s, tally.done(s), expected, now) for s in await read_flows(redis)]
