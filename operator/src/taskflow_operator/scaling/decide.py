"""From values to a decision; without news nothing is taken away."""

from dataclasses import replace

from taskflow_operator.scaling import rules, sentences
from taskflow_operator.scaling.demand import demand
from taskflow_operator.scaling.policy import Policy
from taskflow_operator.scaling.values import Bound, Decision, Fleet, Load, Memory, Reason

FRESH_S = 10.0  # an older reading says nothing about now


def decide(
    policy: Policy, fleet: Fleet, load: Load | None, memory: Memory, now: float
) -> tuple[Decision, Memory]:
    """Return the decision and what to remember for the next one.

    `load` is None when the queue cannot be read. Deciding again with the same values, after the
    decision has been carried out, changes nothing.
    """
    memory = _begun(policy, fleet, memory, now)
    if policy.mode == "Off":
        return _held(policy, fleet, fleet.replicas, Reason.OFF), memory
    if load is None or not _is_news(load, now):
        return _without_news(policy, fleet, load, memory, now)
    if policy.suspended:
        return _held(policy, fleet, 0, Reason.SUSPENDED), replace(memory, heard_at=now)
    case = rules.Case(policy, fleet, load, demand(policy, load), now)
    step = rules.step(case, replace(memory, heard_at=now))
    return _decision(case, step), step.memory


def _is_news(load: Load, now: float) -> bool:
    return load.credible and load.waiting is not None and now - load.at <= FRESH_S


def _begun(policy: Policy, fleet: Fleet, memory: Memory, now: float) -> Memory:
    """After a restart what runs counts as wanted: it is not taken away by who knows nothing yet."""
    if memory.since is not None:
        return memory
    current = fleet.current
    return rules.remember(policy, replace(memory, since=now), now, base=current, want=current)


def _without_news(
    policy: Policy, fleet: Fleet, load: Load | None, memory: Memory, now: float
) -> tuple[Decision, Memory]:
    quiet_s = now - _or(memory.heard_at, _or(memory.since, now))
    memory = rules.remember(policy, memory, now, base=fleet.current, want=fleet.current)
    # nothing is known of who is busy: those that drain stay too, and only growing is safe
    fleet = replace(fleet, pinned=fleet.replicas)
    target = max(fleet.current, 0 if policy.suspended else policy.min_replicas)
    if quiet_s < policy.stale_after_s:
        return _held(policy, fleet, target, _why_no_news(load), quiet_s), memory
    fallback = 0 if policy.suspended else min(policy.fallback or 0, policy.max_replicas)
    return _held(policy, fleet, max(target, fallback), Reason.FALLBACK, quiet_s), memory


def _why_no_news(load: Load | None) -> Reason:
    if load is None or load.waiting is None:
        return Reason.NO_SIGNAL
    return Reason.STALE_SIGNAL if load.credible else Reason.INCREDIBLE_SIGNAL


def _held(
    policy: Policy, fleet: Fleet, target: int, reason: Reason, quiet_s: float = 0.0
) -> Decision:
    replicas = _written(fleet, target)
    return Decision(
        current=fleet.current,
        target=target,
        replicas=replicas,
        reason=reason,
        message=sentences.held(policy, fleet, (target, replicas), reason, quiet_s),
        bounds=frozenset({Bound.BUSY_WORKERS} if replicas > target else ()),
        inputs={"silentSeconds": quiet_s} if quiet_s else {},
        enforced=policy.mode == "Enforce",
    )


def _decision(case: rules.Case, step: rules.Step) -> Decision:
    replicas = _written(case.fleet, step.target)
    reason, bounds = step.reason, step.bounds
    if replicas > step.target:
        bounds |= {Bound.BUSY_WORKERS}
        if replicas == case.fleet.replicas:
            reason = Reason.BUSY_WORKERS
    return Decision(
        current=case.current,
        target=step.target,
        replicas=replicas,
        reason=reason,
        message=sentences.decided(case, step, replicas),
        want=case.need.want,
        bounds=bounds,
        inputs=_inputs(case),
        enforced=case.policy.mode == "Enforce",
    )


def _inputs(case: rules.Case) -> dict[str, float]:
    load = case.load
    numbers = {
        "arrivalsPerSecond": load.arrivals_per_s,
        "busySeconds": case.need.service_s,
        "waiting": load.waiting,
        "running": load.running,
        "oldestWaitSeconds": load.oldest_wait_s,
        "startSeconds": load.start_s,
        "slots": case.policy.slots,
        "want": case.need.want,
    }
    return {name: number for name, number in numbers.items() if number is not None}


def _written(fleet: Fleet, target: int) -> int:
    """Return what to write to scale: nobody is removed who holds work that is not to be cut short."""
    return max(target, min(fleet.replicas, fleet.pinned))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
