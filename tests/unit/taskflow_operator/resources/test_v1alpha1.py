"""The resource: its defaults, what it answers about itself, and what it overlooks."""

from typing import Any

import pytest
from pydantic import ValidationError

from taskflow_core.settings import WorkerSettings
from taskflow_core.tasks.retry import RetryPolicy
from taskflow_operator.resources.tasks import Retries
from taskflow_operator.resources.v1alpha1 import TaskFlow
from taskflow_operator.resources.workers import Workers
from tests.support.bad_flows import SOUND, changed


def flow(**changes: Any) -> TaskFlow:
    return TaskFlow.read(
        changed({name.replace("__", "."): value for name, value in changes.items()})
    )


def test_the_queue_is_called_like_the_object_unless_it_says_otherwise() -> None:
    assert flow().queue == "emails"
    assert flow(spec__queue="mail-v2").queue == "mail-v2"


def test_a_name_with_a_dot_will_do_if_the_queue_has_one_of_its_own() -> None:
    named = flow(metadata__name="shop.emails", spec__queue="emails")

    assert named.queue == "emails"


def test_a_flow_that_does_not_speak_of_scaling_has_the_defaults() -> None:
    bare = TaskFlow.read({**SOUND, "spec": {"workers": {"image": "x"}}})

    assert (bare.autoscaling.min_replicas, bare.autoscaling.max_replicas) == (0, 10)
    assert bare.autoscaling.drain_within.seconds == 60
    assert bare.autoscaling.behavior.scale_down.stabilization == "300s"
    assert bare.self_healing.stuck_after == "90s"


def test_retries_default_to_what_the_core_does_anyway() -> None:
    policy, retries = RetryPolicy(), Retries()

    assert (retries.max_attempts, retries.factor) == (policy.max_attempts, policy.factor)
    assert (retries.initial.seconds, retries.max.seconds) == (policy.initial_s, policy.max_s)


def test_concurrency_defaults_to_what_a_worker_has_anyway() -> None:
    assert Workers(image="x").concurrency == WorkerSettings().slots


def test_limits_alone_need_no_workers() -> None:
    alone = TaskFlow.read({**SOUND, "spec": {"rateLimits": {"dispatch": {"perSecond": 0.5}}}})

    assert alone.spec.workers is None
    assert alone.spec.rate_limits is not None
    assert alone.spec.rate_limits.dispatch is not None
    assert alone.spec.rate_limits.dispatch.per_second == 0.5


def test_whole_numbers_will_do_where_numbers_are_asked_for() -> None:
    assert flow(spec__retries__factor=2).spec.retries.factor == 2.0


def test_fields_of_a_newer_crd_do_not_stop_an_older_operator() -> None:
    assert (
        flow(spec__fromTheFuture=1, spec__autoscaling__predict=True).autoscaling.max_replicas == 5
    )


def test_what_the_api_server_adds_to_metadata_is_read_or_passed_over() -> None:
    stored = flow(
        metadata__creationTimestamp="2026-11-25T10:00:00Z",
        metadata__generation=7,
        metadata__managedFields=[{"manager": "kubectl"}],
        metadata__ownerReferences=[],
    )

    assert stored.metadata.generation == 7
    assert stored.metadata.creation_timestamp is not None
    assert stored.metadata.creation_timestamp.utcoffset() is not None


def test_status_is_read_back_as_it_was_written() -> None:
    status = {
        "observedGeneration": 7,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Steady",
                "message": "",
                "lastTransitionTime": "2026-11-25T10:00:00Z",
            }
        ],
        "replicas": 6,
        "lastDecision": {
            "at": "2026-11-25T10:00:00Z",
            "from": 6,
            "to": 8,
            "reason": "Backlog",
            "message": "6 → 8",
            "inputs": {"waiting": 2310.0},
        },
    }

    read = flow(status=status).status

    assert read is not None
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == status


def test_a_resource_cannot_be_changed_by_who_reads_it() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        flow().spec.suspend = True  # type: ignore[misc]  # that it is refused is what is tested


def test_two_broken_rules_are_both_said() -> None:
    with pytest.raises(ValidationError) as caught:
        flow(spec__workers={"image": "x", "targetRef": {"name": "y"}, "env": [{"name": "A"}]})

    assert "exactly one of image" in str(caught.value)
    assert "in your Deployment" in str(caught.value)


@pytest.mark.parametrize("kind", ["Taskflow", "Deployment", ""])
def test_another_kind_is_not_read(kind: str) -> None:
    with pytest.raises(ValidationError, match="TaskFlow"):
        flow(kind=kind)
