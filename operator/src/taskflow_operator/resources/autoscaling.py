"""How many workers a flow gets, and how fast that number may change."""

from typing import Annotated

from pydantic import Field

from taskflow_operator.resources.base import Model, Rule
from taskflow_operator.resources.limits import Mode
from taskflow_operator.resources.quantities import Duration, IntOrText, Step, between

Window = Annotated[Duration, between("0s", "1h")]
Pause = Annotated[Duration, between("1s", "1h")]
FallbackReplicas = Annotated[
    int | str, IntOrText(r"^current$", "a number of workers from 1, or current", 1)
]


class ScaleUp(Model):
    """How fast a flow may grow."""

    stabilization: Window = Field(
        Duration("0s"),
        description=(
            "Grow to the lowest number wanted within this time, 0s to 1h: longer ignores short"
            " peaks, 0s answers at once."
        ),
    )
    step: Step | None = Field(
        None,
        description=(
            "Most workers added in each `every`: a number, or a percentage of those that run (one"
            " at least). Unlimited by default."
        ),
    )
    every: Pause = Field(Duration("15s"), description="The time that `step` is about, 1s to 1h.")


class ScaleDown(Model):
    """How fast a flow may shrink."""

    stabilization: Window = Field(
        Duration("300s"),
        description=(
            "Shrink to what the arrivals of this time needed at their highest, 0s to 1h: longer"
            " keeps workers through quiet spells."
        ),
    )
    step: Step = Field(
        "50%",
        description=(
            "Most workers removed in each `every`: a number, or a percentage of those that run (one"
            " at least)."
        ),
    )
    every: Pause = Field(Duration("30s"), description="The time that `step` is about, 1s to 1h.")


class Behavior(Model):
    """How fast the number of workers may change, either way."""

    scale_up: ScaleUp = Field(ScaleUp(), description="How fast the flow may grow.")
    scale_down: ScaleDown = Field(ScaleDown(), description="How fast the flow may shrink.")


class Fallback(Model):
    """What to do when the queue cannot be read."""

    stale_after: Annotated[Duration, between("5s", "1h")] = Field(
        Duration("60s"),
        description=(
            "Without news from the queue the number of workers is held; after this time, 5s to 1h,"
            " the fallback applies."
        ),
    )
    replicas: FallbackReplicas = Field(
        "current",
        description=(
            "`current` goes on holding; a number grows the flow to it. An outage never shrinks a"
            " flow: fewer than run already is read as `current`."
        ),
    )


class Autoscaling(Model):
    """The number of workers follows arrivals, backlog and the time in which it should be gone."""

    min_replicas: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Fewest workers. 0 lets an idle flow go to zero; its next task wakes it.",
    )
    max_replicas: int = Field(10, ge=1, le=10_000, description="Most workers.")
    drain_within: Annotated[Duration, between("1s", "24h")] = Field(
        Duration("60s"),
        description=(
            "The time in which waiting tasks should be gone, 1s to 24h: the promise that the"
            " number of workers is computed from. Shorter buys more workers for a burst."
        ),
    )
    utilization: int = Field(
        75,
        ge=10,
        le=100,
        description=(
            "Percentage of the workers' slots that steady arrivals may keep busy; the rest absorbs"
            " noise."
        ),
    )
    behavior: Behavior = Field(
        Behavior(), description="How fast the number of workers may change, either way."
    )
    fallback: Fallback = Field(Fallback(), description="What to do when the queue cannot be read.")
    mode: Mode = Field(
        "Enforce",
        description=(
            "`Enforce` sets the number of workers; `Shadow` only reports what it would do;"
            ' `"Off"` does nothing (in quotes: YAML reads a bare Off as false).'
        ),
    )

    rules = (
        Rule(
            "self.minReplicas <= self.maxReplicas",
            "minReplicas must not exceed maxReplicas; lower one or raise the other",
            lambda self: self.min_replicas <= self.max_replicas,
        ),
        Rule(
            "type(self.fallback.replicas) == string || self.fallback.replicas <= self.maxReplicas",
            "fallback.replicas must not exceed maxReplicas; lower one or raise the other",
            lambda self: (
                isinstance(self.fallback.replicas, str)
                or self.fallback.replicas <= self.max_replicas
            ),
        ),
    )
