"""Kubernetes' rules for structural schemas, checked node by node.

Written from "Specifying a structural schema" and "Validation" in the Kubernetes documentation of
CustomResourceDefinitions, and not from the code that makes ours.
"""

from collections.abc import Iterator
from typing import Any

_FORBIDDEN = {
    *("definitions", "dependencies", "deprecated", "discriminator", "id", "patternProperties"),
    *("readOnly", "writeOnly", "xml", "$ref", "$defs", "title", "const", "propertyNames"),
    *("anyOf", "oneOf", "allOf", "not"),  # allowed, with conditions that ours need not test
}
_TYPES = {"object", "array", "string", "integer", "number", "boolean"}


def violations(node: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield what the API server would refuse of a schema, and where."""
    yield from (f"{path}: {key} is forbidden" for key in node.keys() & _FORBIDDEN)
    free = node.get("x-kubernetes-preserve-unknown-fields")
    if node.get("type") not in _TYPES and not (node.get("x-kubernetes-int-or-string") or free):
        yield f"{path}: no type"
    if node.get("x-kubernetes-int-or-string") and "type" in node:
        yield f"{path}: int-or-string with a type"
    if node.get("uniqueItems"):
        yield f"{path}: uniqueItems"
    if node.get("additionalProperties") is False:
        yield f"{path}: additionalProperties: false"
    if "properties" in node and "additionalProperties" in node:
        yield f"{path}: properties and additionalProperties exclude each other"
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(node.get(bound, False), bool):
            yield f"{path}: {bound} is a flag in OpenAPI 3.0"
    yield from _list_violations(node, path)
    for name, child in children(node):
        yield from violations(child, f"{path}.{name}".lstrip("."))


def _list_violations(node: dict[str, Any], path: str) -> Iterator[str]:
    if node.get("type") == "array" and not isinstance(node.get("items"), dict):
        yield f"{path}: a list needs one schema for its items"
    keys = node.get("x-kubernetes-list-map-keys")
    if (node.get("x-kubernetes-list-type") == "map") != bool(keys):
        yield f"{path}: a list-map, and nothing else, has keys"
    for key in keys or ():
        item = node["items"]
        if key not in item.get("required", ()) and "default" not in item["properties"][key]:
            yield f"{path}: the key {key} must be required or have a default"


def children(node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schemas right below a node, by name."""
    yield from node.get("properties", {}).items()
    if "items" in node:
        yield "[]", node["items"]
    if isinstance(node.get("additionalProperties"), dict):
        yield "*", node["additionalProperties"]


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every node of a schema with its path, the root first."""
    yield path, node
    for name, child in children(node):
        yield from nodes(child, f"{path}.{name}".lstrip("."))
