"""What a flow's tasks get when they, or their handlers, ask for nothing else."""

from typing import Annotated

from pydantic import Field

from taskflow_operator.resources.base import Model, Rule
from taskflow_operator.resources.quantities import Duration, between

Keep = Annotated[Duration, between("1h", "87600h")]


class Retries(Model):
    """Retries of a failed task: exponential, with full jitter."""

    max_attempts: int = Field(
        3,
        ge=1,
        le=100,
        description="Attempts in all, the first included; then it is dead-lettered.",
    )
    initial: Annotated[Duration, between("0s", "24h")] = Field(
        Duration("1s"), description="Longest pause after the first failure, at most 24h."
    )
    factor: float = Field(
        2.0, ge=1, le=10, description="By how much the longest pause grows with each failure."
    )
    max: Annotated[Duration, between("0s", "24h")] = Field(
        Duration("5m"), description="The longest that a pause becomes, at most 24h."
    )

    rules = (
        Rule(
            "duration(self.initial) <= duration(self.max)",
            "initial must not exceed max; shorten one or lengthen the other",
            lambda self: self.initial.seconds <= self.max.seconds,
        ),
    )


class Retention(Model):
    """How long the records of ended tasks are kept."""

    completed: Keep = Field(
        Duration("168h"), description="For completed and cancelled tasks, 1h to 87600h (10 years)."
    )
    failed: Keep = Field(
        Duration("720h"),
        description="For dead letters, which can be replayed until then, 1h to 87600h (10 years).",
    )
