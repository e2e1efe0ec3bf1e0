"""Rate limits: how fast clients may submit, and how fast work is handed to workers."""

from typing import Annotated, Literal

from pydantic import Field

from taskflow_operator.resources.base import ListOf, Model, Rule, Unique
from taskflow_operator.resources.quantities import Duration, between

type Mode = Literal["Enforce", "Shadow", "Off"]

Route = Annotated[str, Field(pattern=r"^[a-z]+([.-][a-z]+)*$", max_length=63)]


class RequestLimit(Model):
    """A limit on what clients may ask of the API, kept exactly over all its replicas (GCRA)."""

    name: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=63,
        description=(
            "Name of the limit, unique in the TaskFlow. Clients read it in the answer 429, and it"
            " is the label `rule` of the metrics."
        ),
    )
    routes: Annotated[ListOf[Route], Unique()] = Field(
        min_length=1,
        max_length=16,
        description=(
            "What is limited, for example `tasks.create`. Groups that are not about one flow"
            " (`auth.login`, `auth.refresh`, `general`) are accepted only from TaskFlows in the"
            " operator's own namespace."
        ),
    )
    key: Literal["user", "ip", "all"] = Field(
        "user",
        description=(
            "Whose requests are counted together: those of a `user`, those from an `ip` address,"
            " or `all` of them."
        ),
    )
    limit: int = Field(ge=1, le=1_000_000, description="Requests allowed in each `period`.")
    period: Annotated[Duration, between("1s", "720h")] = Field(
        Duration("1m"), description="The period that `limit` is about, 1s to 720h (30 days)."
    )
    burst: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description=(
            "Requests that may come at once before the even pace of `limit` per `period` holds."
            " Default: `limit`, so that a client may spend a whole period's worth at once; 1 spaces"
            " requests evenly."
        ),
    )
    mode: Mode = Field(
        "Enforce",
        description=(
            "`Enforce` refuses with 429; `Shadow` admits and counts what would have been refused;"
            ' `"Off"` does nothing (in quotes: YAML reads a bare Off as false).'
        ),
    )


class DispatchLimit(Model):
    """A limit on what is handed to workers, kept exactly over all of them; the rest waits."""

    per_second: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description=(
            "Tasks started in a second, by all workers together. 0.5 is one every two seconds."
            " The autoscaler never buys workers that this limit would starve."
        ),
    )
    burst: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description=(
            "Tasks that may start at once after a quiet time. Default: one second's worth of"
            " `perSecond`, 1 at least."
        ),
    )
    max_concurrent: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Tasks that run at the same time, on all workers together.",
    )

    rules = (
        Rule(
            "has(self.perSecond) || has(self.maxConcurrent)",
            "set perSecond, maxConcurrent or both; a dispatch limit with neither limits nothing",
            lambda self: self.per_second is not None or self.max_concurrent is not None,
        ),
        Rule(
            "!has(self.burst) || has(self.perSecond)",
            "burst belongs to perSecond; set perSecond or remove burst",
            lambda self: self.burst is None or self.per_second is not None,
        ),
    )


class RateLimits(Model):
    """How fast clients may submit to the flow, and how fast its work is dispatched."""

    requests: Annotated[ListOf[RequestLimit], Unique(by="name")] = Field(
        (),
        max_length=32,
        description="What clients may submit. A request must pass every limit that names its route.",
    )
    dispatch: DispatchLimit | None = Field(
        None, description="How fast waiting tasks are handed to workers; unlimited by default."
    )
