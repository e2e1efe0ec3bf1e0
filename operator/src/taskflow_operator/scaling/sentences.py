"""Decisions in words: what happened, from which numbers, and which bound clipped it."""

from taskflow_operator.scaling.policy import Pace, Policy
from taskflow_operator.scaling.rules import Case, Step
from taskflow_operator.scaling.values import Bound, Fleet, Reason

_ROUND_FROM = 10  # below it two digits are told


def decided(case: Case, step: Step, replicas: int) -> str:
    """Return the sentence of a decision that writes `replicas` to scale.

    `6 → 8: 41 arrivals/s × 0.9 s busy + 2,310 waiting to drain in 60 s want 8 of 20 slots each`
    """
    said = [_demand(case), *_clips(case, step)]
    if replicas > step.target:
        said.append(_busy(case.fleet, replicas))
    return f"{_head(case.current, step.target)}: {'; '.join(said)}"


def held(
    policy: Policy, fleet: Fleet, decided_on: tuple[int, int], reason: Reason, quiet_s: float
) -> str:
    """Return the sentence of a decision, target and replicas, that does not look at the load."""
    target, replicas = decided_on
    said = {
        Reason.OFF: 'autoscaling is "Off"; kubectl scale sets the number',
        Reason.SUSPENDED: "the flow is suspended; set suspend: false to go on",
        Reason.FALLBACK: _fallback(policy, quiet_s),
    }.get(reason, _no_news(policy, reason, quiet_s))
    busy = f"; {_busy(fleet, replicas)}" if replicas > target else ""
    return f"{_head(fleet.current, target)}: {said}{busy}"


def number(value: float) -> str:
    """Return a number with as many digits as it deserves: 0.02, 3.5, 41, 2,310."""
    return f"{value:,.0f}" if value >= _ROUND_FROM or value == int(value) else f"{value:.2g}"


def _head(current: int, target: int) -> str:
    if target != current:
        return f"{current} → {target}"
    return f"{current} stays" if current == 1 else f"{current} stay"


def _demand(case: Case) -> str:
    load, need, policy = case.load, case.need, case.policy
    wanted = f"want {need.want} of {policy.slots} slots each"
    if need.service_s is None:
        return (
            f"{number(load.waiting or 0)} waiting and {number(load.running or 0)} running, for a"
            f" time not yet known, {wanted}"
        )
    parts = []
    if load.arrivals_per_s:
        parts.append(f"{number(load.arrivals_per_s)} arrivals/s × {number(need.service_s)} s busy")
    if load.waiting:
        parts.append(f"{number(load.waiting)} waiting to drain in {number(policy.drain_s)} s")
    if not parts and load.running:
        parts.append(f"{number(load.running)} running")
    return f"{' + '.join(parts)} {wanted}" if parts else "nothing arrives, waits or runs"


def _clips(case: Case, step: Step) -> list[str]:
    policy, ceiling = case.policy, case.need.ceiling
    texts = {
        Bound.RATE: f"dispatch limit {number(policy.rate_per_s or 0)}/s keeps {ceiling} busy",
        Bound.CONCURRENCY: f"maxConcurrent {policy.max_concurrent} fills {ceiling}",
        Bound.MAX_REPLICAS: f"maxReplicas is {policy.max_replicas}",
        Bound.MIN_REPLICAS: f"minReplicas is {policy.min_replicas}",
        Bound.COLD_START: "an unknown flow doubles at most, every 5 s",
        Bound.GROW_PACE: _pace(policy.grow),
        Bound.SHRINK_PACE: _pace(policy.shrink),
        Bound.STABILIZATION: f"the last {number(policy.shrink.stabilization_s)} s needed more",
        Bound.TOLERANCE: "too little to change for",
        Bound.BOTTLENECK: "the last growth brought hardly anything, so more would not help",
    }
    overdue = f"the oldest has waited {number(case.load.oldest_wait_s)} s"
    said = [text for bound, text in texts.items() if bound in step.bounds]
    return [overdue, *said] if step.reason is Reason.OVERDUE else said


def _pace(pace: Pace) -> str:
    return f"at most {pace.step} every {number(pace.every_s)} s"


def _busy(fleet: Fleet, replicas: int) -> str:
    return f"{replicas} remain until they are done, {fleet.pinned} hold tasks"


def _no_news(policy: Policy, reason: Reason, quiet_s: float) -> str:
    what = {
        Reason.STALE_SIGNAL: "what the queue last said is too old",
        Reason.INCREDIBLE_SIGNAL: "what the queue says cannot be",
    }.get(reason, "the queue cannot be read")
    until = f"fallback after {number(policy.stale_after_s)} s"
    return f"{what}, no good news for {number(quiet_s)} s; {until}"


def _fallback(policy: Policy, quiet_s: float) -> str:
    says = "hold" if policy.fallback is None else f"{policy.fallback} at least"
    return f"no news from the queue for {number(quiet_s)} s; the fallback says {says}"
