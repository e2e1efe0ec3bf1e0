"""The CustomResourceDefinition, made from the models; `taskflow crd` prints it.

It is committed as `charts/taskflow/files/crds/taskflows.yaml`, and a test fails when it is stale.
"""

from typing import Any

import yaml

from taskflow_operator.resources.v1alpha1 import GROUP, KIND, VERSION, TaskFlow
from taskflow_operator.structural import Schema, structural

PLURAL = "taskflows"
_HEADER = "# Made by `taskflow crd` from operator/src/taskflow_operator/resources; do not edit.\n"

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether all is well."),
    ("Replicas", "integer", ".status.replicas", "Workers that exist."),
    ("Desired", "integer", ".status.desiredReplicas", "Workers that are wanted."),
    ("Waiting", "string", ".status.waiting", "How many tasks wait."),
    ("Limits", "string", ".status.limits", "Replicas that apply the limits, and of how many."),
    ("Reason", "string", ".status.reason", "The one word behind all this."),
    ("Age", "date", ".metadata.creationTimestamp", "Since when it exists."),
)

_SCALE = {
    "specReplicasPath": ".spec.workers.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}

# what every object has; the API server checks these itself
_OBJECT: Schema = {
    "apiVersion": {"type": "string", "description": f"Always `{GROUP}/{VERSION}`."},
    "kind": {"type": "string", "description": f"Always `{KIND}`."},
    "metadata": {"type": "object", "description": "Name, namespace, labels, annotations."},
}


class _PlainDumper(yaml.SafeDumper):
    """Writes what stands twice twice: anchors are for machines."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def openapi_schema() -> Schema:
    """Return the structural schema of a TaskFlow. Raises `NotStructural`."""
    schema = TaskFlow.model_json_schema(by_alias=True)
    definitions = schema["$defs"]
    parts = {name: schema["properties"][name] for name in ("spec", "status")}
    return {
        "type": "object",
        "description": schema["description"],
        "required": ["spec"],
        "properties": _OBJECT
        | {name: structural(part, definitions, name) for name, part in parts.items()},
        "x-kubernetes-validations": schema["x-kubernetes-validations"],
    }


def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition. Raises `NotStructural`."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["tflow"],
            },
            "versions": [_version()],
        },
    }


def render() -> str:
    """Return the definition as YAML, the text of the committed file. Raises `NotStructural`."""
    body: str = yaml.dump(
        definition(), Dumper=_PlainDumper, sort_keys=False, width=100, allow_unicode=True
    )
    return _HEADER + body


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": openapi_schema()},
        "subresources": {"status": {}, "scale": _SCALE},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "description": said}
            for name, kind, path, said in _COLUMNS
        ],
    }
