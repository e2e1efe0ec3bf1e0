"""Values to decide about: ten slots, tasks of two seconds, no time to start, unless said otherwise."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from taskflow_operator.scaling import Decision, Fleet, Load, Memory, Policy, decide

NOW = 100_000.0
LONG_AGO = Memory(since=NOW - 3_600, heard_at=NOW)  # a flow that has been watched for an hour


def policy(**fields: Any) -> Policy:
    return replace(Policy(slots=10, max_replicas=50), **fields)


def fleet(replicas: int, **fields: Any) -> Fleet:
    return replace(Fleet(replicas, working=replicas), **fields)


def load(arrivals: float | None = 0.0, waiting: float | None = 0.0, **fields: Any) -> Load:
    known = Load(
        at=NOW,
        waiting=waiting,
        running=0.0,
        arrivals_per_s=arrivals,
        busy_s=2.0,
        samples=1000,
        start_s=0.0,
    )
    return replace(known, **fields)


def decided(
    at: Load | None, replicas: int | Fleet = 0, memory: Memory = LONG_AGO, **fields: Any
) -> Decision:
    """Return the decision about a load, with `fields` of the policy."""
    of = replicas if isinstance(replicas, Fleet) else fleet(replicas)
    return decide(policy(**fields), of, at, memory, NOW)[0]


def carried_out(before: Fleet, decision: Decision) -> Fleet:
    """Return the workers once a decision has been carried out; all of them work at once."""
    return replace(
        before,
        replicas=decision.replicas,
        draining=decision.draining,
        pinned=min(before.pinned, decision.replicas),
        working=decision.target,
    )


def played(
    loads: Iterable[Load | None],
    of: Policy,
    start: Fleet,
    memory: Memory = LONG_AGO,
    every_s: float = 1.0,
) -> Iterator[tuple[float, Decision]]:
    """Yield time and decision for one load after the other, each carried out at once."""
    workers, now = start, NOW
    for one in loads:
        at = one and replace(one, at=now if one.at == NOW else one.at)
        decision, memory = decide(of, workers, at, memory, now)
        workers = carried_out(workers, decision)
        yield now, decision
        now += every_s
