"""What the operator says about a flow. Counters that move all the time are metrics, not status."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, Strict

from taskflow_operator.resources.base import ListOf, Model, Unique

Moment = Annotated[datetime, Strict(strict=False)]  # text in YAML and JSON


class Condition(Model):
    """One statement about the flow, as Kubernetes' `metav1.Condition`."""

    type: str = Field(
        max_length=316,
        description=(
            "`Ready`, `Accepted`, `LimitsApplied`, `ScalingActive`, `WorkersHealthy`, `Degraded`."
        ),
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$",
        max_length=1024,
        description="Why, in one CamelCase word.",
    )
    message: str = Field("", max_length=32_768, description="Why, in a sentence.")
    observed_generation: int | None = Field(
        None, ge=0, description="The `metadata.generation` that it is about."
    )
    last_transition_time: Moment = Field(description="When `status` last changed.")


class LastDecision(Model):
    """The last change of the number of workers, and why."""

    at: Moment = Field(description="When.")
    from_: int = Field(alias="from", ge=0, description="Workers before.")
    to: int = Field(ge=0, description="Workers after.")
    reason: str = Field(max_length=63, description="Why, in one CamelCase word.")
    message: str = Field("", max_length=1024, description="Why, in a sentence.")
    inputs: dict[str, float] = Field(
        {}, max_length=32, description="The numbers that it was computed from, by name."
    )


class Status(Model):
    """What the operator last saw and did."""

    observed_generation: int | None = Field(
        None, ge=0, description="The `metadata.generation` that this status is about."
    )
    conditions: Annotated[ListOf[Condition], Unique(by="type")] = Field(
        (), max_length=16, description="Statements about the flow, each with its reason."
    )
    reason: str | None = Field(
        None,
        max_length=63,
        description=(
            "The one word behind the line of `kubectl get`: why the flow is not Ready, else why it"
            " has as many workers as it has."
        ),
    )
    replicas: int | None = Field(None, ge=0, description="Workers that exist.")
    desired_replicas: int | None = Field(None, ge=0, description="Workers that are wanted.")
    selector: str | None = Field(
        None, max_length=1024, description="Label selector of the workers, for `/scale`."
    )
    waiting: str | None = Field(
        None,
        max_length=16,
        description="How many tasks wait, in buckets such as `1k-5k`; the metric is exact.",
    )
    limits: str | None = Field(
        None,
        max_length=32,
        description="Replicas that apply the limits of this generation, and of how many: `3/3`.",
    )
    last_decision: LastDecision | None = Field(
        None, description="The last change of the number of workers, and why."
    )
