"""What holds for every flow, every load and every past."""

import itertools
import math
import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from taskflow_operator.scaling import Fleet, Load, Memory, Pace, Policy, decide
from tests.unit.taskflow_operator.scaling.cases import NOW, carried_out, load, played, policy

paces = st.builds(
    Pace,
    st.sampled_from([0.0, 30.0, 300.0]),
    st.sampled_from([None, 1, 3, "10%", "50%", "100%"]),
    st.sampled_from([1.0, 15.0, 30.0]),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    least = draw(st.integers(0, 20))
    return Policy(
        slots=draw(st.integers(1, 50)),
        min_replicas=least,
        max_replicas=draw(st.integers(max(1, least), 100)),
        drain_s=draw(st.floats(1, 3600)),
        utilization=draw(st.floats(0.1, 1)),
        rate_per_s=draw(st.none() | st.floats(0.01, 1000)),
        max_concurrent=draw(st.none() | st.integers(1, 2000)),
        grow=draw(paces),
        shrink=draw(paces),
        fallback=draw(st.none() | st.integers(1, 50)),
    )


@st.composite
def loads(draw: st.DrawFn) -> Load:
    waiting = draw(st.integers(0, 5000))
    return Load(
        at=NOW,
        waiting=waiting,
        running=draw(st.integers(0, 500)),
        arrivals_per_s=draw(st.just(0.0) | st.floats(0.001, 500)),
        busy_s=draw(st.none() | st.floats(0.001, 600)),
        samples=draw(st.sampled_from([0, 19, 20, 5000])),
        oldest_wait_s=draw(st.floats(0, 7200)) if waiting else 0.0,
        start_s=draw(st.none() | st.floats(0, 120)),
        progress=draw(st.booleans()),
    )


@st.composite
def fleets(draw: st.DrawFn, most: int = 100) -> Fleet:
    replicas = draw(st.integers(0, most))
    draining = draw(st.integers(0, replicas))
    working = draw(st.none() | st.integers(0, replicas - draining))
    return Fleet(replicas, draining, draw(st.integers(0, replicas)), working)


@st.composite
def pasts(draw: st.DrawFn, of: Policy) -> Memory:
    """Return what a flow remembers that has been through some loads, the last a second ago."""
    memory = Memory()
    before = draw(
        st.lists(st.tuples(st.integers(1, 400), fleets(), st.none() | loads()), max_size=4)
    )
    for ago, workers, one in sorted(before, key=lambda entry: -entry[0]):
        at = NOW - ago
        _, memory = decide(of, workers, one and replace(one, at=at), memory, at)
    return memory


@given(st.data())
@settings(max_examples=1500, deadline=None)
def test_more_load_never_means_fewer_workers(data: st.DataObject) -> None:
    of = data.draw(policies())
    memory, workers, less = data.draw(pasts(of)), data.draw(fleets()), data.draw(loads())
    assert less.waiting is not None
    assert less.arrivals_per_s is not None
    assert less.running is not None
    more = replace(
        less,
        waiting=less.waiting + data.draw(st.integers(0, 1000)),
        running=less.running + data.draw(st.integers(0, 100)),
        arrivals_per_s=less.arrivals_per_s + data.draw(st.floats(0, 100)),
    )
    if more.waiting:
        more = replace(more, oldest_wait_s=less.oldest_wait_s + data.draw(st.floats(0, 100)))

    few, _ = decide(of, workers, less, memory, NOW)
    many, _ = decide(of, workers, more, memory, NOW)

    assert few.target <= many.target
    assert few.replicas <= many.replicas


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_the_target_is_within_the_bounds(data: st.DataObject) -> None:
    of = data.draw(policies())
    memory, workers = data.draw(pasts(of)), data.draw(fleets())

    decision, _ = decide(of, workers, data.draw(loads()), memory, NOW)

    assert of.min_replicas <= decision.target <= of.max_replicas
    assert decision.target <= decision.replicas <= max(decision.target, workers.replicas)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_nobody_who_is_pinned_is_ever_removed(data: st.DataObject) -> None:
    of = replace(data.draw(policies()), suspended=data.draw(st.booleans()))
    memory, workers = data.draw(pasts(of)), data.draw(fleets())

    decision, _ = decide(of, workers, data.draw(st.none() | loads()), memory, NOW)

    assert decision.replicas >= min(workers.replicas, workers.pinned)


unreadable = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, -(10.0**9), 1e13, 1e18])


@st.composite
def without_news(draw: st.DrawFn) -> Load | None:
    good = draw(loads())
    field = draw(
        st.sampled_from(
            ["waiting", "running", "arrivals_per_s", "busy_s", "oldest_wait_s", "done_per_s"]
        )
    )
    number: Any = draw(unreadable)
    broken = replace(good, **{field: number})
    old = replace(good, at=NOW - draw(st.floats(10.1, 1e6)))
    return draw(st.sampled_from([None, replace(good, waiting=None), broken, old]))


@given(st.data())
@settings(max_examples=1500, deadline=None)
def test_without_news_nothing_is_taken_away_and_nothing_goes_to_zero(data: st.DataObject) -> None:
    of = replace(data.draw(policies()), suspended=data.draw(st.booleans()))
    memory, workers = data.draw(pasts(of)), data.draw(fleets())

    decision, _ = decide(of, workers, data.draw(without_news()), memory, NOW)

    assert decision.target >= workers.current
    assert decision.replicas >= workers.replicas


@given(st.data())
@settings(max_examples=1500, deadline=None)
def test_deciding_again_after_it_is_carried_out_changes_nothing(data: st.DataObject) -> None:
    of = replace(
        data.draw(policies()),
        suspended=data.draw(st.booleans()),
        mode=data.draw(st.sampled_from(["Enforce", "Off"])),
    )
    memory, workers = data.draw(pasts(of)), data.draw(fleets())
    seen = data.draw(st.none() | loads() | without_news())

    first, after = decide(of, workers, seen, memory, NOW)
    then = replace(
        carried_out(workers, first),
        working=workers.working,  # who was asked for a moment ago has not been heard of
    )
    again, _ = decide(of, then, seen, after, NOW)

    assert (again.target, again.replicas) == (first.target, first.replicas)


@given(
    lam=st.floats(0.5, 200),
    busy_s=st.floats(0.05, 20),
    slots=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=12, deadline=None)
def test_noise_of_a_fifth_does_not_make_it_flap(
    lam: float, busy_s: float, slots: int, seed: int
) -> None:
    chance = random.Random(seed)
    noisy = [load(lam * chance.uniform(0.8, 1.2), busy_s=busy_s) for _ in range(1200)]
    of = policy(slots=slots, max_replicas=10_000)

    history = list(played(noisy, of, Fleet(0, working=0)))

    settled = [d for at, d in history if at >= NOW + 600 and d.target != d.current]
    directions = [d.target > d.current for d in settled]
    reversals = sum(a != b for a, b in itertools.pairwise(directions))
    assert reversals <= 1


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_every_decision_has_a_sentence_and_finite_inputs(data: st.DataObject) -> None:
    of = data.draw(policies())
    memory, workers = data.draw(pasts(of)), data.draw(fleets())

    decision, _ = decide(of, workers, data.draw(st.none() | loads() | without_news()), memory, NOW)

    change = str(decision.current)
    if decision.target != decision.current:
        change += f" → {decision.target}"
    assert decision.message.startswith(change)
    assert len(decision.message) > len(change) + 10
    assert decision.reason.value.isalpha()
    assert all(math.isfinite(number) for number in decision.inputs.values())


@given(st.lists(st.tuples(st.integers(0, 400), fleets(), st.none() | loads()), max_size=20))
@settings(max_examples=15, deadline=None)
def test_what_is_remembered_stays_small(past: list[tuple[int, Fleet, Load | None]]) -> None:
    memory, now = Memory(), NOW
    for pause, workers, one in past * 10:
        now += pause
        _, memory = decide(policy(), workers, one and replace(one, at=now), memory, now)

    windows = (memory.base, memory.want, memory.low.of_negatives)
    assert all(len(window.entries) <= 51 for window in windows)
