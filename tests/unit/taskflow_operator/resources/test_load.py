"""TaskFlows from files: the samples, and every way in which a file can be wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from taskflow_operator import crd
from taskflow_operator.resources.load import InvalidFlow, load, load_all
from tests.support.bad_flows import BAD_FLOWS, SOUND, Bad, changed
from tests.unit.taskflow_operator.structural_rules import nodes

SAMPLES = Path(__file__).resolve().parents[4] / "manifests/samples"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flow.yaml"


def problems(file: Path, text: str | bytes) -> tuple[str, ...]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidFlow) as caught:
        load(file)
    assert str(caught.value).splitlines() == [f"{file}: {one}" for one in caught.value.problems]
    return caught.value.problems


def problems_of(file: Path, body: dict[str, Any]) -> tuple[str, ...]:
    return problems(file, yaml.safe_dump(body))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_sample_loads(path: Path) -> None:
    assert load(path).metadata.name


def test_there_is_a_sample_for_what_people_begin_with() -> None:
    assert {path.stem for path in SAMPLES.glob("*.yaml")} >= {
        *("minimal", "rate-limits-only", "scale-to-zero", "shadow", "adopt-deployment"),
        "all-fields",
    }


def test_the_samples_use_every_field_there_is() -> None:
    def said(value: Any, path: str) -> set[str]:
        if isinstance(value, dict):
            return {path}.union(*(said(child, f"{path}.{name}") for name, child in value.items()))
        if isinstance(value, list):
            return {path}.union(*(said(child, f"{path}.[]") for child in value))
        return {path}

    used = set[str]().union(
        *(said(yaml.safe_load(p.read_text())["spec"], "spec") for p in SAMPLES.glob("*.yaml"))
    )
    known = {
        path
        for path, _ in nodes(crd.openapi_schema()["properties"]["spec"], "spec")
        if path[-1] != "*"
    }
    assert known - used == set()


def test_the_sample_of_all_fields_shows_the_defaults() -> None:
    shown = load(SAMPLES / "all-fields.yaml").spec
    bare = load(SAMPLES / "minimal.yaml")

    assert shown.self_healing == bare.self_healing
    assert shown.retention == bare.spec.retention
    assert shown.retries == bare.spec.retries
    assert shown.autoscaling is not None
    assert (
        shown.autoscaling.model_copy(update={"behavior": bare.autoscaling.behavior})
        == bare.autoscaling
    )
    assert shown.autoscaling.behavior.scale_down == bare.autoscaling.behavior.scale_down


@pytest.mark.parametrize("bad", BAD_FLOWS, ids=lambda bad: f"{bad.path}={bad.value}"[:60])
def test_a_bad_flow_is_refused_with_a_sentence_that_names_field_and_fix(
    bad: Bad, file: Path
) -> None:
    said = problems_of(file, bad.body())

    assert any(
        bad.named in one and any(word in one for word in bad.says.split("|")) for one in said
    ), said


def test_every_fault_is_said_at_once_with_the_flows_name(file: Path) -> None:
    said = problems_of(
        file, changed({"spec.workers.image": "two words", "spec.autoscaling.maxReplicas": 0})
    )

    assert said == (
        r"emails: spec.workers.image: 'two words' will not do; it must match ^\S+$",
        "emails: spec.autoscaling.maxReplicas: 0 will not do; it must be 1 at least",
    )


def test_a_misspelt_field_is_answered_with_the_one_that_was_meant(file: Path) -> None:
    body = changed({"spec.autoscaling.maxReplica": 3, "spec.workers.podTemplate": {"any": 1}})

    assert problems_of(file, body) == (
        "emails: spec.autoscaling.maxReplica: no such field; did you mean maxReplicas?",
    )


def test_a_misspelt_field_inside_a_list_is_answered_too(file: Path) -> None:
    limit = {"name": "submit", "routes": ["tasks.create"], "limit": 1, "perod": "1m"}

    (said,) = problems_of(file, changed({"spec.rateLimits.requests": [limit]}))

    assert said.endswith("requests[0].perod: no such field; did you mean period?")


def test_a_field_like_no_other_is_answered_with_those_there_are(file: Path) -> None:
    (said,) = problems_of(file, changed({"spec.selfHealing.poison.xyz": 1}))

    assert said == "emails: spec.selfHealing.poison.xyz: no such field; there are deaths"


def test_a_bare_off_is_answered_with_quotes(file: Path) -> None:
    text = yaml.safe_dump(SOUND).replace("minReplicas: 1", "mode: Off")

    assert problems(file, text) == (
        'emails: spec.autoscaling.mode: write "Off" in quotes; YAML reads a bare Off as false',
    )


def test_a_quoted_off_is_off(file: Path) -> None:
    file.write_text(yaml.safe_dump(changed({"spec.autoscaling.mode": "Off"})))

    assert load(file).autoscaling.mode == "Off"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no TaskFlow; one begins with apiVersion: taskflow.dev/v1alpha1, kind: TaskFlow"),
        ("---\n---\n", "has no TaskFlow"),
        ("kind: Deployment", "has no TaskFlow"),
        ("- a\n- b", "a document is a list; a TaskFlow is a mapping of fields"),
        ("just words", "a document is the text 'just words'"),
        ("a: [", "is not YAML: line 1, column 5"),
        ("a: 1\na: 2", "is not YAML: line 2, column 1: a stands twice; keep one"),
        ("spec: !!python/object/apply:os.getcwd []", "is not YAML: line 1"),
        (b"\xff\xfe\xff", "is not text in UTF-8"),
        ("spec: {}", "apiVersion: is missing"),
    ],
)
def test_a_file_that_is_no_flow_says_what_it_is(file: Path, text: str | bytes, said: str) -> None:
    assert any(one.startswith(said) for one in problems(file, text))


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidFlow, match=r"none\.yaml: cannot be read: No such file"):
        load(tmp_path / "none.yaml")


def test_documents_of_other_kinds_are_passed_over(file: Path) -> None:
    file.write_text("kind: Namespace\n---\n" + yaml.safe_dump(SOUND) + "---\nkind: Secret\n")

    assert load(file).metadata.name == "emails"


def test_of_several_flows_one_is_chosen_by_name(file: Path) -> None:
    other = changed({"metadata.name": "reports"})
    file.write_text(yaml.safe_dump_all([SOUND, other]))

    assert [flow.metadata.name for flow in load_all(file)] == ["emails", "reports"]
    assert load(file, "reports").queue == "reports"
    with pytest.raises(InvalidFlow, match=r"has 2 TaskFlows \(emails, reports\); say which one"):
        load(file)
    with pytest.raises(InvalidFlow, match="no TaskFlow called orders"):
        load(file, "orders")


def test_one_bad_flow_among_good_ones_is_named(file: Path) -> None:
    bad = changed({"metadata.name": "reports", "spec.priority": "Urgent"})

    (said,) = problems(file, yaml.safe_dump_all([SOUND, bad]))

    assert said.startswith("reports: spec.priority: 'Urgent' must be 'High'")


def test_status_of_a_file_that_was_read_from_a_cluster_is_passed_over(file: Path) -> None:
    body = changed({"status": {"anything": 1}, "metadata.managedFields": [{"manager": "kubectl"}]})
    file.write_text(yaml.safe_dump(body))

    assert load(file).status is None


def test_a_moment_without_quotes_is_text_as_for_the_api_server(file: Path) -> None:
    text = yaml.safe_dump(changed({"metadata.annotations": {"at": "X"}})).replace("X", "2026-01-02")
    file.write_text(text)

    assert load(file).metadata.annotations == {"at": "2026-01-02"}
