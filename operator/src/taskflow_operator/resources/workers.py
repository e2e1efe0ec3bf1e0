"""The workers of a flow: the Deployment that the operator makes, or one of yours that it drives."""

from typing import Annotated, Any, Literal

from pydantic import Field

from taskflow_operator.resources.base import ListOf, Model, Rule, Unique
from taskflow_operator.resources.quantities import Duration, Quantity, between

LabelValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$")
]


class TargetRef(Model):
    """A Deployment in the same namespace."""

    api_version: Literal["apps/v1"] = Field("apps/v1", description="Always `apps/v1`.")
    kind: Literal["Deployment"] = Field("Deployment", description="Always `Deployment`.")
    name: str = Field(min_length=1, max_length=253, description="Name of the Deployment.")


class EnvVar(Model):
    """One environment variable."""

    name: str = Field(
        pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=253, description="Name of the variable."
    )
    value: str | None = Field(None, max_length=32_768, description="Its value, as text.")
    value_from: dict[str, Any] | None = Field(
        None,
        description=(
            "Where its value comes from, as in a Pod: `secretKeyRef`, `configMapKeyRef`,"
            " `fieldRef`."
        ),
    )

    rules = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            "value and valueFrom exclude each other; keep one",
            lambda self: self.value is None or self.value_from is None,
        ),
    )


class Resources(Model):
    """CPU and memory of one worker, as in a Pod."""

    requests: dict[str, Quantity] = Field(
        {}, max_length=16, description="What the scheduler sets aside, for example `cpu: 500m`."
    )
    limits: dict[str, Quantity] = Field(
        {}, max_length=16, description="What a worker may never exceed, for example `memory: 1Gi`."
    )


class Toleration(Model):
    """A taint that workers tolerate, as in a Pod."""

    key: str | None = Field(None, max_length=317, description="Key of the taint; any by default.")
    operator: Literal["Exists", "Equal"] = Field(
        "Equal", description="`Exists` ignores `value`; `Equal` compares it."
    )
    value: str | None = Field(None, max_length=63, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; any by default."
    )
    toleration_seconds: int | None = Field(
        None, ge=0, le=2_147_483_647, description="How long a `NoExecute` taint is tolerated."
    )


class Workers(Model):
    """Who runs the flow's tasks."""

    image: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        pattern=r"^\S+$",
        description=(
            "Image of the workers: `FROM taskflow-worker` with your handlers installed. The operator"
            " then makes the Deployment, a PodDisruptionBudget and a ServiceAccount. Exactly one of"
            " `image` and `targetRef` is set."
        ),
    )
    target_ref: TargetRef | None = Field(
        None,
        description=(
            "A Deployment of yours in the same namespace. The operator changes its scale and"
            " nothing else of it."
        ),
    )
    replicas: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description=(
            "How many workers run while autoscaling does not decide (mode Shadow or Off); ignored"
            " under Enforce. `kubectl scale tflow NAME --replicas N` sets it. If absent the number"
            " is left alone."
        ),
    )
    concurrency: int = Field(
        20, ge=1, le=5_000, description="Slots of one worker: how many tasks it runs at once."
    )
    env: Annotated[ListOf[EnvVar], Unique(by="name")] = Field(
        (), max_length=128, description="Environment of the workers, beside what TaskFlow sets."
    )
    resources: Resources | None = Field(None, description="CPU and memory of one worker.")
    node_selector: dict[str, LabelValue] = Field(
        {}, max_length=32, description="Labels of the nodes on which workers may run."
    )
    tolerations: ListOf[Toleration] = Field(
        (), max_length=32, description="Taints that workers tolerate."
    )
    pod_template: dict[str, Any] | None = Field(
        None,
        description=(
            "A partial Pod template, merged over the operator's as a strategic merge patch: for"
            " volumes, sidecars, security contexts and whatever has no field here."
        ),
    )
    grace_period: Annotated[Duration, between("0s", "24h")] = Field(
        Duration("60s"),
        description=(
            "How long a worker that is told to stop, by a rollout or a node that drains, may finish"
            " its tasks, at most 24h; then it is killed and they run again elsewhere. When the flow"
            " shrinks nobody is cut short: who is to go takes no more work, and is removed when idle."
        ),
    )

    rules = (
        Rule(
            "has(self.image) != has(self.targetRef)",
            "set exactly one of image (the operator makes the Deployment) and targetRef (it scales"
            " one of yours)",
            lambda self: (self.image is None) != (self.target_ref is None),
        ),
        Rule(
            "!has(self.targetRef) || ((!has(self.env) || size(self.env) == 0)"
            " && !has(self.resources) && (!has(self.nodeSelector) || size(self.nodeSelector) == 0)"
            " && (!has(self.tolerations) || size(self.tolerations) == 0)"
            " && !has(self.podTemplate))",
            "env, resources, nodeSelector, tolerations and podTemplate are for image; with targetRef"
            " set them in your Deployment",
            lambda self: self.target_ref is None or not self._shapes_pods,
        ),
    )

    @property
    def _shapes_pods(self) -> bool:
        return bool(
            self.env
            or self.resources is not None
            or self.node_selector
            or self.tolerations
            or self.pod_template is not None
        )
