"""What a TaskFlow says about scaling, in numbers."""

from dataclasses import dataclass
from typing import Literal

from taskflow_operator.resources.autoscaling import ScaleDown, ScaleUp
from taskflow_operator.resources.quantities import part_of
from taskflow_operator.resources.v1alpha1 import TaskFlow
from taskflow_operator.resources.workers import Workers


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the number may change: at most `step` (a number or percentage) in `every_s`."""

    stabilization_s: float
    step: int | str | None
    every_s: float

    def most(self, current: int) -> int | None:
        """Return by how many workers `current` may change at once; None is any number."""
        return None if self.step is None else max(1, part_of(self.step, current))


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds and promises of one flow; times in seconds, `utilization` from 0 to 1."""

    slots: int
    min_replicas: int = 0
    max_replicas: int = 10
    drain_s: float = 60.0
    utilization: float = 0.75
    rate_per_s: float | None = None
    max_concurrent: int | None = None
    grow: Pace = Pace(0.0, None, 15.0)
    shrink: Pace = Pace(300.0, "50%", 30.0)
    stale_after_s: float = 60.0
    fallback: int | None = None  # None holds what there is
    suspended: bool = False
    mode: Literal["Enforce", "Shadow", "Off"] = "Enforce"


def policy_of(flow: TaskFlow) -> Policy:
    """Return the policy of a flow; one without workers has the slots of a default worker."""
    scaling, limits = flow.autoscaling, flow.spec.rate_limits
    dispatch = limits.dispatch if limits else None
    fallback = scaling.fallback.replicas
    return Policy(
        slots=flow.spec.workers.concurrency if flow.spec.workers else _default_slots(),
        min_replicas=scaling.min_replicas,
        max_replicas=scaling.max_replicas,
        drain_s=scaling.drain_within.seconds,
        utilization=scaling.utilization / 100,
        rate_per_s=dispatch.per_second if dispatch else None,
        max_concurrent=dispatch.max_concurrent if dispatch else None,
        grow=_pace(scaling.behavior.scale_up),
        shrink=_pace(scaling.behavior.scale_down),
        stale_after_s=scaling.fallback.stale_after.seconds,
        fallback=fallback if isinstance(fallback, int) else None,
        suspended=flow.spec.suspend,
        mode=scaling.mode,
    )


def _pace(behavior: ScaleUp | ScaleDown) -> Pace:
    return Pace(behavior.stabilization.seconds, behavior.step, behavior.every.seconds)


def _default_slots() -> int:
    slots: int = Workers.model_fields["concurrency"].default
    return slots
