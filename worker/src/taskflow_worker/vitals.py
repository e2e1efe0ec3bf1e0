"""How a worker is: what it counts, and how late its event loop runs."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from taskflow_core.queue.signals import WorkerBeat
from taskflow_core.telemetry.metrics import WorkerMetrics
from taskflow_worker.attempt import Attempt, Outcome

_MEAN_OVER = 50  # attempts over which the exponential mean forgets
_TICK_S = 0.5
_STATM = Path("/proc/self/statm")
UNKNOWN = "unknown"  # the label of handlers that this worker does not have: anybody can invent one


class Vitals:
    """Counts starts and ends of attempts. Times are monotonic unless they say Unix."""

    def __init__(
        self,
        metrics: WorkerMetrics,
        *,
        flow: str,
        replica: str,
        slots: int,
        handlers: Iterable[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._flow, self._replica, self._slots = flow, replica, slots
        self._clock = clock
        self._started_unix = time.time()
        self._wait = metrics.wait.labels(flow)
        self._run = {name: metrics.run.labels(flow, name) for name in (*handlers, UNKNOWN)}
        metrics.slots.set(slots)
        self.done = self.failed = 0
        self._ended = 0
        self._mean_s = 0.0
        self._progress_at = clock()
        self._worst_lag_s = 0.0
        self.turned_at = clock()  # when the event loop last ran a timer

    def claimed(self, attempts: list[Attempt]) -> None:
        """Count attempts that are about to start."""
        for attempt in attempts:
            self._wait.observe(max(0.0, attempt.waited_s))
        if attempts:
            self._progress_at = self._clock()

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt whose handler has ended."""
        now = self._clock()
        took_s = now - attempt.started
        self._progress_at = now
        self._ended += 1
        self._mean_s += (took_s - self._mean_s) / min(self._ended, _MEAN_OVER)
        (self._run.get(attempt.handler) or self._run[UNKNOWN]).observe(took_s)

    def settled(self, attempts: list[Attempt]) -> None:
        """Count attempts whose endings PostgreSQL took."""
        counts: dict[tuple[str, Outcome], int] = {}
        for attempt in attempts:
            if attempt.ending is not None:
                name = attempt.handler if attempt.handler in self._run else UNKNOWN
                key = (name, attempt.ending.outcome)
                counts[key] = counts.get(key, 0) + 1
        for (name, outcome), count in counts.items():
            self._metrics.finished.labels(self._flow, name, outcome.lower()).inc(count)
            if outcome is Outcome.COMPLETED:
                self.done += count
            elif outcome in {Outcome.FAILED, Outcome.RETRY}:
                self.failed += count

    def refused(self, count: int) -> None:
        """Count endings that came too late: the attempts had been given to others."""
        self._metrics.refused.labels(self._flow).inc(count)

    def beat(
        self, *, session: int, busy: int, running: Iterable[Attempt], stopping: bool
    ) -> WorkerBeat:
        """Return what is said to Redis with each heartbeat, and begin a new measure of lag."""
        now, unix = self._clock(), time.time()
        lag_s, self._worst_lag_s = max(self._worst_lag_s, now - self.turned_at - _TICK_S), 0.0
        rss = rss_bytes()
        self._metrics.loop_lag.set(lag_s)
        self._metrics.rss.set(rss)
        self._metrics.busy.set(busy)
        ages_s = [now - attempt.started for attempt in running]
        return WorkerBeat(
            replica=self._replica,
            session=session,
            slots=self._slots,
            busy=busy,
            oldest_running_s=max(ages_s, default=0.0),
            mean_service_s=self._mean_s if self._ended else None,
            done=self.done,
            failed=self.failed,
            loop_lag_s=lag_s,
            rss_bytes=rss,
            started_at=self._started_unix,
            progress_at=unix - (now - self._progress_at),
            stopping=stopping,
            at=unix,
            running_s=sum(ages_s),
        )

    async def watch_loop(self) -> None:
        """Measure for ever how late timers run."""
        while True:
            due = self._clock() + _TICK_S
            await asyncio.sleep(_TICK_S)
            self.turned_at = self._clock()
            self._worst_lag_s = max(self._worst_lag_s, self.turned_at - due)


def rss_bytes() -> int:
    """Return the resident memory; where the system does not say, the most there ever was."""
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
