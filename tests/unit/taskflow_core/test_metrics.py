"""Metrics as a public interface: names, units, labels."""

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from taskflow_core.telemetry.metrics import ApiMetrics, DispatcherMetrics, WorkerMetrics

COMPONENTS = [ApiMetrics, WorkerMetrics, DispatcherMetrics]
BOUNDED = {
    *("flow", "handler", "outcome", "route", "method", "status", "reason", "state"),
    *("became", "place", "duty"),
}
# words that speak of a time
SAYS_TIME = ("age", "duration", "lag", "wait", "run", "tick")


def metrics_of(component: Callable[[CollectorRegistry], object]) -> list[MetricWrapperBase]:
    made = component(CollectorRegistry())
    return [value for value in vars(made).values() if isinstance(value, MetricWrapperBase)]


@pytest.fixture(params=[m for c in COMPONENTS for m in metrics_of(c)], ids=lambda m: m._name)
def metric(request: pytest.FixtureRequest) -> MetricWrapperBase:
    found: MetricWrapperBase = request.param
    return found


def test_a_name_has_the_prefix_and_plain_words(metric: MetricWrapperBase) -> None:
    assert metric._name.startswith("taskflow_")
    assert metric._name.replace("_", "").islower()


def test_a_time_is_in_seconds_and_a_size_in_bytes(metric: MetricWrapperBase) -> None:
    words = metric._name.split("_")

    if set(words) & set(SAYS_TIME) or metric._type == "histogram":
        assert words[-1] == "seconds"
    if "rss" in words:
        assert words[-1] == "bytes"
    assert not {"ms", "milliseconds", "kb", "mb", "minutes", "percent"} & set(words)


def test_a_counter_is_exposed_as_a_total() -> None:
    registry = CollectorRegistry()
    ApiMetrics(registry).shed.labels(reason="full").inc()

    (family,) = [
        f
        for f in text_string_to_metric_families(generate_latest(registry).decode())
        if f.name == "taskflow_http_shed"
    ]

    assert {sample.name for sample in family.samples} >= {"taskflow_http_shed_total"}


def test_labels_are_bounded(metric: MetricWrapperBase) -> None:
    assert set(metric._labelnames) <= BOUNDED


def test_every_metric_says_what_it_means(metric: MetricWrapperBase) -> None:
    assert metric._documentation[0].isupper() or metric._documentation[0].isdigit()
    assert metric._documentation.endswith(".")


def test_two_components_fit_into_one_process() -> None:
    registry = CollectorRegistry()

    for component in COMPONENTS:
        component(registry)

    assert generate_latest(registry).startswith(b"# HELP taskflow_")


def test_short_waits_are_told_apart() -> None:
    registry = CollectorRegistry()
    wait = WorkerMetrics(registry).wait.labels(flow="default")
    wait.observe(0.0007)
    wait.observe(0.0015)

    def upto(bound: str) -> float | None:
        return registry.get_sample_value(
            "taskflow_task_wait_seconds_bucket", {"flow": "default", "le": bound}
        )

    assert (upto("0.0005"), upto("0.001"), upto("0.0025"), upto("3600.0")) == (0, 1, 2, 2)
