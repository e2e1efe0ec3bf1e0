"""`taskflow.dev/v1alpha1`, kind `TaskFlow`: one resource governs one queue."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from taskflow_operator.resources.autoscaling import Autoscaling
from taskflow_operator.resources.base import Model, Rule
from taskflow_operator.resources.healing import SelfHealing
from taskflow_operator.resources.limits import RateLimits
from taskflow_operator.resources.status import Moment, Status
from taskflow_operator.resources.tasks import Retention, Retries
from taskflow_operator.resources.workers import Workers

GROUP = "taskflow.dev"
VERSION = "v1alpha1"
KIND = "TaskFlow"

_MAX_NAME = 63  # it becomes a label's value, and by default the queue's name

# parts of every object's metadata that nothing here reads
_UNREAD_METADATA = frozenset(
    {
        *("deletionGracePeriodSeconds", "finalizers", "generateName", "managedFields"),
        *("ownerReferences", "selfLink"),
    }
)


class Metadata(Model):
    """What TaskFlow reads of an object's metadata; its form is Kubernetes' own business."""

    name: str = Field(min_length=1, max_length=253)
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})
    creation_timestamp: Moment | None = None
    deletion_timestamp: Moment | None = None

    @model_validator(mode="before")
    @classmethod
    def _drop_unread(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the document holds
        if isinstance(value, Mapping):
            return {key: part for key, part in value.items() if key not in _UNREAD_METADATA}
        return value


class TaskFlowSpec(Model):
    """How one queue is governed."""

    queue: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        max_length=63,
        description=(
            "The queue that is governed, unique in the cluster: the `flow` of tasks. Default: the"
            " name of this object."
        ),
    )
    suspend: bool = Field(
        default=False,
        description=(
            "Stop the workers once they have finished what they run. Tasks are still accepted, and"
            " wait."
        ),
    )
    priority: Literal["High", "Medium", "Low"] = Field(
        "Medium", description="Priority of tasks that name none."
    )
    retries: Retries = Field(
        Retries(), description="How a failed task is retried, where its handler declares nothing."
    )
    retention: Retention = Field(
        Retention(), description="How long the records of ended tasks are kept."
    )
    rate_limits: RateLimits | None = Field(
        None, description="How fast clients may submit, and how fast work is dispatched."
    )
    workers: Workers | None = Field(
        None,
        description=(
            "Who runs the tasks. Absent: workers are somebody else's, and only limits and defaults"
            " are governed here."
        ),
    )
    autoscaling: Autoscaling | None = Field(
        None,
        description=(
            "How many workers run. Absent, with `workers`: the defaults below, 0 to 10 workers that"
            " drain any backlog within 60s."
        ),
    )
    self_healing: SelfHealing | None = Field(
        None,
        description=(
            "What is done about broken workers. Absent, with `workers`: the defaults below."
        ),
    )

    rules = (
        Rule(
            "has(self.workers) || !has(self.autoscaling)",
            "autoscaling needs workers; add workers with an image or a targetRef, or remove"
            " autoscaling",
            lambda self: self.workers is not None or self.autoscaling is None,
        ),
        Rule(
            "has(self.workers) || !has(self.selfHealing)",
            "selfHealing needs workers; add workers with an image or a targetRef, or remove"
            " selfHealing",
            lambda self: self.workers is not None or self.self_healing is None,
        ),
    )


class TaskFlow(Model):
    """Limits, scaling and healing of one queue."""

    api_version: Literal["taskflow.dev/v1alpha1"]
    kind: Literal["TaskFlow"]
    metadata: Metadata
    spec: TaskFlowSpec = Field(description="How the queue is governed.")
    status: Status | None = Field(None, description="What the operator last saw and did.")

    rules = (
        Rule(
            f"size(self.metadata.name) <= {_MAX_NAME}",
            f"metadata.name becomes a label: {_MAX_NAME} characters at most; choose a shorter one",
            lambda self: len(self.metadata.name) <= _MAX_NAME,
        ),
        Rule(
            "has(self.spec.queue) || !self.metadata.name.contains('.')",
            "metadata.name has a dot, which no queue's name may have; set spec.queue, or choose"
            " another name",
            lambda self: self.spec.queue is not None or "." not in self.metadata.name,
        ),
    )

    @property
    def queue(self) -> str:
        """The queue that it governs."""
        return self.spec.queue or self.metadata.name

    @property
    def autoscaling(self) -> Autoscaling:
        """How its workers are scaled, with the defaults if it does not say."""
        return self.spec.autoscaling or Autoscaling()

    @property
    def self_healing(self) -> SelfHealing:
        """How its workers are healed, with the defaults if it does not say."""
        return self.spec.self_healing or SelfHealing()

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Return the resource as the API server holds it. Raises `pydantic.ValidationError`."""
        return cls.model_validate(dict(body))
