"""What the load asks for, and what no bound lets through: the formula, and nothing about time.

The first term is Little's law (busy slots = arrivals x service time); the second is the slots that
empty the backlog by the deadline of its oldest task.
"""

import math
from dataclasses import dataclass

from taskflow_operator.scaling.policy import Policy
from taskflow_operator.scaling.values import Bound, Load

START_S = 10.0  # until it has been measured: how long a new worker takes to its first task
_EPSILON = 1e-9  # 30 x 2 / (10 x 0.75) must be 8 workers, not 9


@dataclass(frozen=True, slots=True)
class Demand:
    """Workers for what arrives (`base`) and for what waits (`drain`), both fractions; `want` of both.

    `ceiling` is the most that may be, for the reason `bound`. `service_s` is None while it is not
    known how long tasks take: then `want` is as many slots as there are tasks.
    """

    base: float
    drain: float
    want: int
    ceiling: int
    bound: Bound
    service_s: float | None

    def within(self, least: int) -> int:
        """Return what is wanted, within `least` and the ceiling; `least` wins."""
        return max(least, min(self.want, self.ceiling))

    @property
    def for_arrivals(self) -> int:
        """Whole workers for what arrives."""
        return _up(self.base)


def demand(policy: Policy, load: Load) -> Demand:
    """Return the demand of a credible load."""
    waiting, running = load.waiting or 0.0, load.running or 0.0
    service_s = load.service_s
    if service_s is None:
        base, drain = 0.0, (waiting + running) / policy.slots
    else:
        base = (load.arrivals_per_s or 0.0) * service_s / (policy.slots * policy.utilization)
        drain = _drain(policy, load, waiting, service_s)
    want = max(_up(base + drain), 1 if waiting + running > 0 else 0)
    ceiling, bound = _ceiling(policy, service_s)
    return Demand(base, drain, want, ceiling, bound, service_s)


def start_s(load: Load) -> float:
    """Return the time from a scale write to a new worker's first task."""
    return START_S if load.start_s is None else load.start_s


def _drain(policy: Policy, load: Load, waiting: float, service_s: float) -> float:
    start = start_s(load)
    left_s = max(policy.drain_s - load.oldest_wait_s - start, policy.drain_s / 4, start)
    # a task takes one slot: four long tasks want four slots, however late they are
    return min(waiting * service_s / (policy.slots * left_s), waiting / policy.slots)


def _ceiling(policy: Policy, service_s: float | None) -> tuple[int, Bound]:
    ceilings = [(policy.max_replicas, Bound.MAX_REPLICAS)]
    if policy.rate_per_s is not None and service_s is not None:
        starved = policy.rate_per_s * service_s / (policy.slots * policy.utilization)
        ceilings.append((max(1, _up(starved)), Bound.RATE))
    if policy.max_concurrent is not None:
        ceilings.append((max(1, _up(policy.max_concurrent / policy.slots)), Bound.CONCURRENCY))
    return min(ceilings, key=lambda one: one[0])


def _up(workers: float) -> int:
    return math.ceil(workers - _EPSILON)
