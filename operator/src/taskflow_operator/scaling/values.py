"""What goes into a decision and what comes out. All times are seconds of one clock."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from taskflow_operator.scaling.bottleneck import Growth
from taskflow_operator.scaling.windows import Highest, Lowest

SAMPLES = 20  # ended tasks from which a mean service time is believed
_INCREDIBLE = 1e12  # no queue, rate or time is as large: a broken reading


class Reason(StrEnum):
    """Why there are as many workers as there are."""

    ARRIVALS = "Arrivals"
    BACKLOG = "Backlog"
    BACKLOG_AND_ARRIVALS = "BacklogAndArrivals"
    COLD = "Cold"  # how long tasks take is not known yet
    OVERDUE = "Overdue"  # the oldest has waited longer than drainWithin
    LESS_WORK = "LessWork"
    IDLE = "Idle"
    STEADY = "Steady"
    STABILIZING = "Stabilizing"  # fewer would do; the recent past needed more
    BUSY_WORKERS = "BusyWorkers"  # fewer would do; they are let finish what they hold
    PACED = "Paced"  # the step of scaleUp or scaleDown is used up for now
    BOTTLENECK = "Bottleneck"  # more workers have not helped
    LIMITED_BY_RATE = "LimitedByRate"
    LIMITED_BY_CONCURRENCY = "LimitedByConcurrency"
    AT_MAXIMUM = "AtMaximum"
    AT_MINIMUM = "AtMinimum"
    NO_SIGNAL = "NoSignal"
    STALE_SIGNAL = "StaleSignal"
    INCREDIBLE_SIGNAL = "IncredibleSignal"
    FALLBACK = "Fallback"
    SUSPENDED = "Suspended"
    OFF = "Off"


class Bound(StrEnum):
    """What kept the number from being what the load alone asks for."""

    MAX_REPLICAS = "maxReplicas"
    MIN_REPLICAS = "minReplicas"
    RATE = "dispatch.perSecond"
    CONCURRENCY = "dispatch.maxConcurrent"
    COLD_START = "coldStart"
    GROW_PACE = "scaleUp"
    SHRINK_PACE = "scaleDown"
    STABILIZATION = "stabilization"
    TOLERANCE = "tolerance"
    BUSY_WORKERS = "busyWorkers"
    BOTTLENECK = "bottleneck"


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of a flow, as Kubernetes and their heartbeats say.

    Of `replicas` asked for, `draining` were told to take no more work, `pinned` hold work that is not
    to be cut short, and `working` have been heard of and take work (None if nothing is known).
    """

    replicas: int
    draining: int = 0
    pinned: int = 0
    working: int | None = None

    @property
    def current(self) -> int:
        """Workers that take, or will take, work."""
        return max(0, self.replicas - self.draining)


@dataclass(frozen=True, slots=True)
class Load:
    """What a flow has to do, as read at `at`; None is unknown.

    `waiting` and `running` are tasks, `busy_s` is the mean time a task keeps a slot, over `samples`
    ended tasks; `expected_s` is the time its handlers declare. `start_s`: from a scale write to a new
    worker's first task. `progress`: workers start and end tasks.
    """

    at: float
    waiting: float | None
    running: float | None = None
    arrivals_per_s: float | None = None
    busy_s: float | None = None
    samples: int = 0
    expected_s: float | None = None
    oldest_wait_s: float = 0.0
    start_s: float | None = None
    done_per_s: float | None = None
    progress: bool = True

    @property
    def service_s(self) -> float | None:
        """How long a task keeps a slot, if that is known: measured, else declared."""
        known = self.samples >= SAMPLES and self.busy_s is not None
        return self.busy_s if known else self.expected_s

    @property
    def credible(self) -> bool:
        """Whether every number that is there can be one: no NaN, nothing negative or absurd."""
        numbers = (
            *(self.at, self.waiting, self.running, self.arrivals_per_s, self.busy_s, self.samples),
            *(self.expected_s, self.oldest_wait_s, self.start_s, self.done_per_s),
        )
        return all(0 <= number <= _INCREDIBLE for number in numbers if number is not None)

    @property
    def complete(self) -> bool:
        """Whether enough is known to take workers away."""
        return None not in (self.waiting, self.running, self.arrivals_per_s)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one decision leaves for the next; an empty one knows nothing, as after a restart."""

    since: float | None = None  # of the first decision
    heard_at: float | None = None  # when the load was last known
    base: Highest = field(
        default_factory=Highest
    )  # what arrivals alone needed, over scaleDown.stabilization
    want: Highest = field(default_factory=Highest)  # what was wanted, over a minute
    low: Lowest = field(default_factory=Lowest)  # what was wanted, over scaleUp.stabilization
    grown_at: float = -math.inf
    cold_at: float = -math.inf  # since when, and from how many, an unknown flow has grown
    cold_from: int = 0
    overdue_at: float = -math.inf
    shrunk_at: float = -math.inf
    growth: Growth | None = None  # whether the last growth helped
    bottleneck_until: float = -math.inf


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers there should be, and why.

    `target` workers should take work; `replicas` is what to write to the Deployment's scale, and is
    larger while workers that were told to take no more still hold what they may not lose.
    """

    current: int
    target: int
    replicas: int
    reason: Reason
    message: str
    want: int | None = None  # what the load asks for, before any bound
    bounds: frozenset[Bound] = frozenset()
    inputs: Mapping[str, float] = field(default_factory=dict)
    enforced: bool = True

    @property
    def draining(self) -> int:
        """Workers that should take no more work."""
        return self.replicas - self.target
