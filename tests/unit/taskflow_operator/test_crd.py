"""The CustomResourceDefinition: fresh, structural, documented, and of one mind with the models."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from taskflow_operator import crd
from taskflow_operator.resources.v1alpha1 import TaskFlow
from tests.support.admission import admit
from tests.support.bad_flows import BAD_FLOWS, SOUND, Bad
from tests.unit.taskflow_operator.structural_rules import nodes, violations

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ROOT / "charts/taskflow/files/crds/taskflows.yaml"
SCHEMA = crd.openapi_schema()
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))


def test_the_committed_file_is_what_the_models_say() -> None:
    assert COMMITTED.read_text() == crd.render(), (
        "stale; run: taskflow crd > charts/taskflow/files/crds/taskflows.yaml"
    )


def test_the_file_reads_back_as_the_definition() -> None:
    assert yaml.safe_load(crd.render()) == crd.definition()
    assert "&id" not in crd.render()


def test_the_schema_is_structural() -> None:
    assert list(violations(SCHEMA)) == []


def test_every_field_is_documented_for_kubectl_explain() -> None:
    undocumented = [
        path
        for path, node in nodes(SCHEMA)
        if path and not path.endswith(("[]", "*")) and len(node.get("description", "")) < 5
    ]
    assert undocumented == []


def test_every_text_list_and_mapping_is_bounded_so_that_rules_have_a_known_cost() -> None:
    def unbounded(node: dict[str, object]) -> bool:
        bound = {"string": "maxLength", "array": "maxItems"}.get(str(node.get("type")))
        if "additionalProperties" in node:
            bound = "maxProperties"
        return bool(bound) and bound not in node and not {"enum", "format"} & node.keys()

    outside = {"apiVersion", "kind", "metadata"}
    assert [path for path, node in nodes(SCHEMA) if unbounded(node)] == sorted(
        outside - {"metadata"}
    )


def test_rules_have_fixed_messages_that_say_what_to_do() -> None:
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())]

    assert len(rules) > 20
    for rule in rules:
        assert rule.keys() == {"rule", "message"}
        assert len(rule["message"].split()) >= 5


def test_metadata_is_left_to_the_api_server() -> None:
    assert SCHEMA["properties"]["metadata"].keys() == {"type", "description"}


def test_scale_points_at_fields_that_exist() -> None:
    (version,) = crd.definition()["spec"]["versions"]
    paths = {f".{path}" for path, _ in nodes(SCHEMA)}

    assert set(version["subresources"]["scale"].values()) <= paths
    assert version["subresources"]["status"] == {}


def test_columns_are_the_story_in_the_order_it_is_told() -> None:
    (version,) = crd.definition()["spec"]["versions"]
    columns = [column["name"] for column in version["additionalPrinterColumns"]]

    assert columns == ["Ready", "Replicas", "Desired", "Waiting", "Limits", "Reason", "Age"]


def test_a_column_shows_a_field_that_exists_or_a_condition_by_type() -> None:
    (version,) = crd.definition()["spec"]["versions"]
    paths = {f".{path}" for path, _ in nodes(SCHEMA)} | {".metadata.creationTimestamp"}

    for column in version["additionalPrinterColumns"]:
        assert column["jsonPath"].replace('[?(@.type=="Ready")]', ".[]") in paths


def test_the_sound_flow_is_admitted() -> None:
    assert admit(SCHEMA, SOUND)[1] == []


@pytest.mark.parametrize("bad", BAD_FLOWS, ids=lambda bad: f"{bad.path}={bad.value}"[:60])
def test_the_schema_and_its_rules_refuse_and_name_field_and_fix(bad: Bad) -> None:
    _, errors = admit(SCHEMA, bad.body())

    said = [one for one in errors if bad.named in one]
    assert said, f"not refused for {bad.named}: {errors}"
    assert any(word in " ".join(said) for word in bad.says.split("|"))


@pytest.mark.parametrize("bad", BAD_FLOWS, ids=lambda bad: f"{bad.path}={bad.value}"[:60])
def test_the_models_refuse_whatever_the_schema_refuses(bad: Bad) -> None:
    with pytest.raises(ValidationError):
        TaskFlow.model_validate(bad.body(), extra="forbid")


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_admitted_and_defaulted_as_the_models_default_it(path: Path) -> None:
    body = yaml.safe_load(path.read_text())

    stored, errors = admit(SCHEMA, body)

    assert errors == []
    assert TaskFlow.read(stored) == TaskFlow.read(body)
    again, _ = admit(SCHEMA, stored)
    assert again == stored


def test_nested_defaults_of_the_schema_are_those_of_the_models() -> None:
    bare = {**SOUND, "spec": {"workers": {"image": "x"}, "autoscaling": {}, "selfHealing": {}}}

    stored, _ = admit(SCHEMA, bare)
    dumped = TaskFlow.read(bare).model_dump(mode="json", by_alias=True, exclude_none=True)

    assert stored["spec"] == dumped["spec"] | {"workers": stored["spec"]["workers"]}
    assert stored["spec"]["workers"].items() <= dumped["spec"]["workers"].items()
