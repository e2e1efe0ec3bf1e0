"""What is done about workers that are broken, and about tasks that break them."""

from typing import Annotated

from pydantic import Field

from taskflow_operator.resources.base import Model
from taskflow_operator.resources.limits import Mode
from taskflow_operator.resources.quantities import Duration, Share, between


class Poison(Model):
    """When a task, and not the worker, is to blame."""

    deaths: int = Field(
        3,
        ge=1,
        le=100,
        description=(
            "A task that was running on this many different workers when they died is quarantined,"
            " and no worker is restarted for it."
        ),
    )


class SelfHealing(Model):
    """Broken workers are replaced, a few at a time; a broken release is rolled back."""

    stuck_after: Annotated[Duration, between("30s", "24h")] = Field(
        Duration("90s"),
        description=(
            "A worker that beats, makes no progress for this long, 30s to 24h, and leaves waiting"
            " what no limit holds back, is stuck. Longer than the longest quiet stretch of a"
            " handler, or let handlers report progress."
        ),
    )
    max_unavailable: Share = Field(
        "10%",
        description=(
            "Workers that may be replaced in five minutes: a number or a percentage of those that"
            " run; one at least."
        ),
    )
    poison: Poison = Field(Poison(), description="When a task, and not the worker, is to blame.")
    rollback: bool = Field(
        default=True,
        description=(
            "If workers crash since their template changed, go back to the last one that worked."
        ),
    )
    mode: Mode = Field(
        "Enforce",
        description=(
            '`Enforce` heals; `Shadow` only reports what it would do; `"Off"` does nothing (in'
            " quotes: YAML reads a bare Off as false)."
        ),
    )
