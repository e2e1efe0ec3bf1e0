"""TaskFlows that nobody may apply: what is wrong, where, and a word of the fix.

Each is the sample `SOUND` with one thing changed. Whoever validates TaskFlows (the models, the CRD's
schema and rules, an API server) has to refuse every one.
"""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

SOUND: dict[str, Any] = {
    "apiVersion": "taskflow.dev/v1alpha1",
    "kind": "TaskFlow",
    "metadata": {"name": "emails", "namespace": "shop"},
    "spec": {
        "workers": {"image": "registry.example/emails:1"},
        "autoscaling": {"minReplicas": 1, "maxReplicas": 5},
        "rateLimits": {"requests": [{"name": "submit", "routes": ["tasks.create"], "limit": 9}]},
        "selfHealing": {},
    },
}


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


class Bad(NamedTuple):
    """`path` of the sound flow is set to `value`; the refusal names `field` and says `says`."""

    path: str
    value: Any
    says: str
    field: str | None = None

    @property
    def named(self) -> str:
        """The field that the refusal must name."""
        return self.field if self.field is not None else self.path

    def body(self) -> dict[str, Any]:
        """Return the TaskFlow with the fault in it."""
        return changed({self.path: self.value})


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sound flow with other values at dotted paths; `ABSENT` removes."""
    body = copy.deepcopy(SOUND)
    for path, value in changes.items():
        *parents, last = path.split(".")
        place = body
        for name in parents:
            place = place.setdefault(name, {})
        if value is ABSENT:
            place.pop(last, None)
        else:
            place[last] = value
    return body


def _limit(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "submit", "routes": ["tasks.create"], "limit": 9} | fields]


BAD_FLOWS = [
    # the name and the queue
    Bad("metadata.name", "x" * 64, "63 characters at most", ""),
    Bad("metadata.name", "shop.emails", "set spec.queue", ""),
    Bad("spec.queue", "E-Mails", "match"),
    Bad("spec.queue", "q" * 64, "63"),
    Bad("spec.queue", 7, "text|string"),
    # fields that do not exist, or are misspelt
    Bad("spec.worker", {"image": "x"}, "field"),
    Bad("spec.autoscaling.maxReplica", 3, "field"),
    # limits
    Bad("spec.rateLimits.requests", _limit() * 2, "twice|Duplicate"),
    Bad(
        "spec.rateLimits.requests",
        _limit(routes=[]),
        "at least 1|too few",
        "spec.rateLimits.requests[0].routes",
    ),
    Bad(
        "spec.rateLimits.requests",
        _limit(routes=["tasks.create", "tasks.create"]),
        "twice|Duplicate",
        "spec.rateLimits.requests[0].routes",
    ),
    Bad("spec.rateLimits.requests", _limit(limit=0), "1", "spec.rateLimits.requests[0].limit"),
    Bad("spec.rateLimits.requests", _limit(burst=0), "1", "spec.rateLimits.requests[0].burst"),
    Bad(
        "spec.rateLimits.requests",
        _limit(limit=10**9),
        "1000000",
        "spec.rateLimits.requests[0].limit",
    ),
    Bad(
        "spec.rateLimits.requests",
        _limit(period="0s"),
        "between 1s and 720h",
        "spec.rateLimits.requests[0].period",
    ),
    Bad(
        "spec.rateLimits.requests",
        _limit(period="1 minute"),
        "duration|match",
        "spec.rateLimits.requests[0].period",
    ),
    Bad(
        "spec.rateLimits.requests",
        _limit(key="tenant"),
        "user",
        "spec.rateLimits.requests[0].key",
    ),
    Bad(
        "spec.rateLimits.requests",
        [{"routes": ["tasks.create"], "limit": 9}],
        "missing|Required",
        "spec.rateLimits.requests[0].name",
    ),
    Bad("spec.rateLimits.dispatch", {}, "set perSecond, maxConcurrent or both"),
    Bad("spec.rateLimits.dispatch", {"burst": 5, "maxConcurrent": 9}, "burst belongs to perSecond"),
    Bad("spec.rateLimits.dispatch.perSecond", 0, "0"),
    Bad("spec.rateLimits.dispatch.perSecond", -1, "0"),
    Bad("spec.rateLimits.dispatch.maxConcurrent", 0, "1"),
    # workers
    Bad("spec.workers.image", ABSENT, "exactly one of image", "spec.workers"),
    Bad("spec.workers.targetRef", {"name": "emails"}, "exactly one of image", "spec.workers"),
    Bad(
        "spec.workers",
        {"targetRef": {"name": "emails"}, "podTemplate": {"spec": {}}},
        "in your Deployment",
    ),
    Bad(
        "spec.workers",
        {"targetRef": {"name": "emails", "kind": "StatefulSet"}},
        "Deployment",
        "spec.workers.targetRef.kind",
    ),
    Bad("spec.workers.image", "two words", "match"),
    Bad("spec.workers.concurrency", 0, "1"),
    Bad("spec.workers.concurrency", "20", "whole number|integer"),
    Bad("spec.workers.gracePeriod", "25h", "between 0s and 24h"),
    Bad(
        "spec.workers.env",
        [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {}}}],
        "exclude each other",
        "spec.workers.env[0]",
    ),
    Bad("spec.workers.resources.limits", {"memory": "lots"}, "write|match", "limits.memory"),
    Bad("spec.workers", ABSENT, "autoscaling needs workers", "spec"),
    # autoscaling
    Bad("spec.autoscaling.minReplicas", 6, "lower one or raise the other", "spec.autoscaling"),
    Bad("spec.autoscaling.minReplicas", -1, "0"),
    Bad("spec.autoscaling.maxReplicas", 0, "1"),
    Bad("spec.autoscaling.maxReplicas", True, "whole number|integer"),
    Bad("spec.autoscaling.drainWithin", "0s", "between 1s and 24h"),
    Bad("spec.autoscaling.drainWithin", 60, "duration|string"),
    Bad("spec.autoscaling.utilization", 0, "10"),
    Bad("spec.autoscaling.utilization", 101, "100"),
    Bad("spec.autoscaling.mode", False, "quotes|string"),
    Bad("spec.autoscaling.mode", "Dry", "Shadow"),
    Bad("spec.autoscaling.behavior.scaleDown.step", "0%", "1%|match"),
    Bad("spec.autoscaling.behavior.scaleDown.step", 0, "1"),
    Bad("spec.autoscaling.behavior.scaleUp.every", "0s", "between 1s and 1h"),
    Bad("spec.autoscaling.fallback.replicas", 0, "1"),
    Bad("spec.autoscaling.fallback.replicas", "min", "current"),
    Bad("spec.autoscaling.fallback.replicas", 6, "lower one or raise", "spec.autoscaling"),
    Bad("spec.autoscaling.fallback.staleAfter", "1s", "between 5s and 1h"),
    # healing and tasks
    Bad("spec.selfHealing.stuckAfter", "5s", "between 30s and 24h"),
    Bad("spec.selfHealing.maxUnavailable", "110%", "100%|match"),
    Bad("spec.selfHealing.poison.deaths", 0, "1"),
    Bad("spec.selfHealing.rollback", "yes", "true or false|boolean"),
    Bad("spec.retries", {"initial": "10m", "max": "1m"}, "shorten one or lengthen the other"),
    Bad("spec.retries.factor", 0.5, "1"),
    Bad("spec.retention.failed", "10m", "between 1h"),
    Bad("spec.priority", "Urgent", "High"),
]
