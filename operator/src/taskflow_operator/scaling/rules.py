"""The rules of growing and shrinking: grow at once, shrink late, and not for a trifle."""

import math
from dataclasses import dataclass, replace

from taskflow_operator.scaling import bottleneck
from taskflow_operator.scaling.demand import Demand, start_s
from taskflow_operator.scaling.policy import Policy
from taskflow_operator.scaling.values import Bound, Fleet, Load, Memory, Reason

WANT_S = 60.0  # for how long the highest want keeps workers
COLD_EVERY_S = 5.0
COLD_FIRST = 4  # workers that an unknown flow may get at once
OVERDUE_EVERY_S = 10.0  # or as long as a worker takes to start: let the last ones work first
OVERDUE_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """All that a decision looks at."""

    policy: Policy
    fleet: Fleet
    load: Load
    need: Demand
    now: float

    @property
    def current(self) -> int:
        """Workers that take, or will take, work."""
        return self.fleet.current

    @property
    def overdue(self) -> bool:
        """Whether the oldest task has waited longer than was promised."""
        return self.load.oldest_wait_s > self.policy.drain_s


@dataclass(frozen=True, slots=True)
class Step:
    """What the rules came to: the target, why, which bounds clipped it, and what to remember."""

    target: int
    reason: Reason
    memory: Memory
    bounds: frozenset[Bound] = frozenset()


def remember(policy: Policy, memory: Memory, now: float, *, base: int, want: int) -> Memory:
    """Return the memory with what arrivals needed and what was wanted at `now`."""
    window_s = policy.shrink.stabilization_s
    return replace(
        memory,
        base=memory.base.see(now, base, window_s),
        want=memory.want.see(now, want, min(WANT_S, window_s)),
        low=memory.low.see(now, want, policy.grow.stabilization_s),
    )


def step(case: Case, memory: Memory) -> Step:
    """Return what the rules make of a case."""
    memory = _watch(case, memory)
    want, memory, cold = _wanted(case, memory)
    base = max(case.policy.min_replicas, min(case.need.for_arrivals, case.need.ceiling))
    seen = 0 if case.load.complete else case.current  # with parts unknown nothing is taken away
    memory = remember(case.policy, memory, case.now, base=max(base, seen), want=max(want, seen))
    if case.current > case.policy.max_replicas:
        over = frozenset({Bound.MAX_REPLICAS})
        memory = replace(memory, shrunk_at=case.now)
        return Step(case.policy.max_replicas, Reason.AT_MAXIMUM, memory, over)
    aim, overdue = _aim(case, memory, want)
    if _beyond_band(case, aim):
        taken = _grow(case, memory, aim, overdue=overdue)
    elif want < case.current:
        taken = _shrink(case, memory)
    else:
        taken = Step(case.current, _steady(case), memory, _band(case, aim))
    return replace(taken, bounds=taken.bounds | cold | _clipped(case, taken.target))


def _wanted(case: Case, memory: Memory) -> tuple[int, Memory, frozenset[Bound]]:
    """Return what is wanted within the bounds; an unknown flow doubles in five seconds at most."""
    want = case.need.within(case.policy.min_replicas)
    if case.overdue:  # no time to take away what the limiter can feed
        want = max(want, min(case.current, case.need.ceiling))
    if case.need.service_s is not None or want <= case.current:
        return want, memory, frozenset()
    if case.now - memory.cold_at >= COLD_EVERY_S:
        memory = replace(memory, cold_at=case.now, cold_from=case.current)
    most = max(COLD_FIRST, 2 * memory.cold_from, case.policy.min_replicas)
    if want <= most:
        return want, memory, frozenset()
    return max(most, case.current), memory, frozenset({Bound.COLD_START})


def _aim(case: Case, memory: Memory, want: int) -> tuple[int, bool]:
    """Return what to grow to, and whether because the oldest task has waited too long."""
    aim = max(min(want, memory.low.value), case.policy.min_replicas)
    if case.current == 0:
        return max(aim, min(want, 1)), False
    started = case.fleet.working is not None and case.fleet.working >= case.current
    pause_s = max(OVERDUE_EVERY_S, start_s(case.load))
    ready = started and case.load.progress and case.now - memory.overdue_at >= pause_s
    if not (case.overdue and ready):
        return aim, False
    more = case.current + max(1, math.ceil(OVERDUE_SHARE * case.current))
    more = min(more, max(case.need.ceiling, case.policy.min_replicas))
    return max(aim, more), more > aim


def _beyond_band(case: Case, aim: int) -> bool:
    """Whether growing is worth it: by more than 10 %, or from nothing, or when it is late."""
    if aim <= case.current:
        return False
    below = case.current < case.policy.min_replicas
    return case.current == 0 or case.overdue or below or 10 * aim > 11 * case.current


def _band(case: Case, aim: int) -> frozenset[Bound]:
    return frozenset({Bound.TOLERANCE} if aim > case.current else ())


def _grow(case: Case, memory: Memory, aim: int, *, overdue: bool) -> Step:
    least = max(case.current, case.policy.min_replicas, min(aim, 1))
    if case.now < memory.bottleneck_until and aim > least:
        return Step(least, Reason.BOTTLENECK, memory, frozenset({Bound.BOTTLENECK}))
    target, bounds = aim, frozenset[Bound]()
    most = case.policy.grow.most(case.current)
    if most is not None:
        waits = case.now - memory.grown_at < case.policy.grow.every_s
        target = max(least, min(aim, case.current + (0 if waits else most)))
        bounds = frozenset({Bound.GROW_PACE} if target < aim else ())
    if target == case.current:
        return Step(target, Reason.PACED, memory, bounds)
    memory = replace(
        memory,
        grown_at=case.now,
        overdue_at=case.now if overdue else memory.overdue_at,
        growth=memory.growth or _growth(case),
    )
    return Step(target, _why_grow(case, target, overdue=overdue), memory, bounds)


def _why_grow(case: Case, target: int, *, overdue: bool) -> Reason:
    if _limited(case, target):
        return _limit(case)
    if overdue:
        return Reason.OVERDUE
    if case.need.service_s is None:
        return Reason.COLD
    if case.need.want <= case.policy.min_replicas:
        return Reason.AT_MINIMUM
    if case.need.base == 0:
        return Reason.BACKLOG
    enough = case.need.for_arrivals >= case.need.want
    return Reason.ARRIVALS if enough else Reason.BACKLOG_AND_ARRIVALS


def _shrink(case: Case, memory: Memory) -> Step:
    highest = max(memory.base.value, memory.want.value)
    if highest >= case.current or _is_young(case, memory):
        kept = frozenset({Bound.STABILIZATION})
        return Step(case.current, Reason.STABILIZING, memory, kept)
    if highest > 0 and 10 * highest >= 8 * case.current:
        return Step(case.current, _steady(case), memory, frozenset({Bound.TOLERANCE}))
    pace = case.policy.shrink
    if case.now - memory.shrunk_at < pace.every_s:
        kept = frozenset({Bound.SHRINK_PACE})
        return Step(case.current, Reason.PACED, memory, kept)
    most = pace.most(case.current)
    target = highest if most is None else max(highest, case.current - most)
    bounds = frozenset({Bound.SHRINK_PACE} if target > highest else ())
    reason = Reason.IDLE if target == 0 else Reason.LESS_WORK
    if _limited(case, target):
        reason = _limit(case)
    return Step(target, reason, replace(memory, shrunk_at=case.now), bounds)


def _is_young(case: Case, memory: Memory) -> bool:
    """Whether the window over which arrivals are looked at has not been seen whole yet."""
    seen_s = case.now - (case.now if memory.since is None else memory.since)
    return bool(case.load.arrivals_per_s) and seen_s < case.policy.shrink.stabilization_s


def _steady(case: Case) -> Reason:
    if _limited(case, case.current):
        return _limit(case)
    if case.overdue:
        return Reason.OVERDUE
    if case.need.want < case.policy.min_replicas == case.current:
        return Reason.AT_MINIMUM
    return Reason.STEADY


def _limited(case: Case, target: int) -> bool:
    """Whether the ceiling, and nothing before it, keeps `target` from what is wanted."""
    ceiling = max(case.need.ceiling, case.policy.min_replicas)
    return case.need.want > ceiling and target >= case.need.ceiling


def _limit(case: Case) -> Reason:
    return {
        Bound.RATE: Reason.LIMITED_BY_RATE,
        Bound.CONCURRENCY: Reason.LIMITED_BY_CONCURRENCY,
    }.get(case.need.bound, Reason.AT_MAXIMUM)


def _clipped(case: Case, target: int) -> frozenset[Bound]:
    if _limited(case, target):
        return frozenset({case.need.bound})
    below = case.need.want < case.policy.min_replicas
    return frozenset({Bound.MIN_REPLICAS} if below else ())


def _growth(case: Case) -> bottleneck.Growth | None:
    working, done, busy_s = case.fleet.working, case.load.done_per_s, case.need.service_s
    if not (working and busy_s) or done is None:
        return None
    return bottleneck.Growth(case.now, working, done, busy_s)


def _watch(case: Case, memory: Memory) -> Memory:
    if not case.load.waiting:
        return replace(memory, growth=None, bottleneck_until=-math.inf)
    working, done = case.fleet.working, case.load.done_per_s
    if memory.growth is None or working is None or done is None:
        return memory
    growth = bottleneck.watched(
        memory.growth,
        now=case.now,
        working=working,
        done_per_s=done,
        slots=case.policy.slots,
        start_s=start_s(case.load),
    )
    if growth is not None and growth.failed >= bottleneck.WINDOWS:
        return replace(memory, growth=None, bottleneck_until=case.now + bottleneck.PAUSE_S)
    return replace(memory, growth=growth)
