"""What a TaskFlow says, in numbers."""

from typing import Any

import pytest

from taskflow_operator.resources.v1alpha1 import TaskFlow
from taskflow_operator.scaling import Pace, Policy, policy_of
from tests.support.bad_flows import SOUND


def of(**spec: Any) -> Policy:
    return policy_of(TaskFlow.read({**SOUND, "spec": spec}))


def test_a_bare_flow_has_the_policy_of_the_design() -> None:
    assert of(workers={"image": "x"}) == Policy(
        slots=20,
        min_replicas=0,
        max_replicas=10,
        drain_s=60.0,
        utilization=0.75,
        grow=Pace(0.0, None, 15.0),
        shrink=Pace(300.0, "50%", 30.0),
        stale_after_s=60.0,
        fallback=None,
    )


def test_everything_that_is_said_is_in_the_policy() -> None:
    policy = of(
        workers={"image": "x", "concurrency": 4},
        suspend=True,
        rateLimits={"dispatch": {"perSecond": 12.5, "maxConcurrent": 90}},
        autoscaling={
            "minReplicas": 2,
            "maxReplicas": 30,
            "drainWithin": "2m",
            "utilization": 50,
            "behavior": {
                "scaleUp": {"stabilization": "10s", "step": 3, "every": "20s"},
                "scaleDown": {"stabilization": "1m", "step": "10%", "every": "45s"},
            },
            "fallback": {"staleAfter": "90s", "replicas": 7},
            "mode": "Shadow",
        },
    )

    assert policy == Policy(
        slots=4,
        min_replicas=2,
        max_replicas=30,
        drain_s=120.0,
        utilization=0.5,
        rate_per_s=12.5,
        max_concurrent=90,
        grow=Pace(10.0, 3, 20.0),
        shrink=Pace(60.0, "10%", 45.0),
        stale_after_s=90.0,
        fallback=7,
        suspended=True,
        mode="Shadow",
    )


def test_limits_alone_have_the_slots_of_a_default_worker() -> None:
    assert of(rateLimits={"dispatch": {"perSecond": 1}}).slots == 20


@pytest.mark.parametrize(
    ("step", "current", "most"),
    [(None, 10, None), (3, 10, 3), ("50%", 10, 5), ("50%", 11, 5), ("50%", 1, 1), ("1%", 10, 1)],
)
def test_a_step_is_one_at_least(step: int | str | None, current: int, most: int | None) -> None:
    assert Pace(0.0, step, 1.0).most(current) == most
