"""JSON schema as pydantic writes it → a structural schema as the Kubernetes API server wants it.

The rules are Kubernetes' ("Specifying a structural schema" in its documentation of custom resources).
Whatever has no structural form is an error here, at generation time, and not at `kubectl apply`.
"""

from collections.abc import Mapping
from typing import Any

type Schema = dict[str, Any]

# what a structural schema may say, in the order in which the file reads best
_KEPT = (
    *("type", "format", "description", "nullable", "default", "enum", "pattern", "multipleOf"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "required"),
    *("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
    *("properties", "items", "additionalProperties"),
)
_FORMATS = frozenset({"int32", "int64", "double", "date-time"})
_INT_OR_STRING = {"integer", "string"}


class NotStructural(ValueError):
    """The model says something that a structural schema cannot."""


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str = "") -> Schema:
    """Return the structural form of `schema`, with references into `definitions` put in place.

    `path` is where the schema stands, for messages. Raises `NotStructural`.
    """
    node = _without_union(_without_reference(dict(schema), definitions), definitions, path)
    _without_const(node)
    _boolean_bounds(node)
    node.pop("title", None)
    _children(node, definitions, path)
    _default(node)
    _check(node, path)
    return {key: node[key] for key in _KEPT if key in node}


def _without_reference(node: Schema, definitions: Mapping[str, Any]) -> Schema:
    while "$ref" in node:
        name = node.pop("$ref").removeprefix("#/$defs/")
        node = {**definitions[name], **node}  # what is said beside a reference is more specific
    return node


def _without_union(node: Schema, definitions: Mapping[str, Any], path: str) -> Schema:
    if "anyOf" not in node:
        return node
    variants = [_without_reference(dict(one), definitions) for one in node.pop("anyOf")]
    rest = [one for one in variants if one.get("type") != "null"]
    if len(rest) < len(variants):
        node["nullable"] = True
    if len(rest) == 1:
        return _without_union({**rest[0], **node}, definitions, path)
    if [*sorted(str(one.get("type")) for one in rest)] == sorted(_INT_OR_STRING):
        merged = {key: value for one in rest for key, value in one.items() if key != "type"}
        return {**merged, **node, "x-kubernetes-int-or-string": True}
    kinds = " or ".join(str(one.get("type", "anything")) for one in rest)
    raise NotStructural(f"{path}: {kinds} has no structural form; split it into several fields")


def _without_const(node: Schema) -> None:
    if "const" in node:
        node["enum"] = [node.pop("const")]


def _boolean_bounds(node: Schema) -> None:
    """Write an exclusive bound as OpenAPI 3.0 does: the bound, and a flag beside it."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            node[bound], node[exclusive] = node[exclusive], True


def _children(node: Schema, definitions: Mapping[str, Any], path: str) -> None:
    if "properties" in node:
        node.pop("additionalProperties", None)  # excludes properties; the server prunes anyway
        node["properties"] = {
            name: structural(child, definitions, f"{path}.{name}".lstrip("."))
            for name, child in node["properties"].items()
        }
    if "items" in node:
        node["items"] = structural(node["items"], definitions, f"{path}[]")
    more = node.get("additionalProperties")
    if more is True or more == {}:
        del node["additionalProperties"]
        node["x-kubernetes-preserve-unknown-fields"] = True
    elif isinstance(more, Mapping):
        node["additionalProperties"] = structural(more, definitions, f"{path}.*")


def _default(node: Schema) -> None:
    if node.get("default", ...) is None:
        del node["default"]
    elif "default" in node and "properties" in node:
        node["default"] = {}  # each field says its own; written out, they would stand twice


def _check(node: Schema, path: str) -> None:
    unknown = [key for key in node if key not in _KEPT]
    if unknown:
        raise NotStructural(f"{path}: {', '.join(unknown)} is not for structural schemas")
    if node.get("format", "int32") not in _FORMATS:
        raise NotStructural(f"{path}: the API server does not know the format {node['format']}")
    typeless = {"x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields"}
    if "type" not in node and not typeless & node.keys():
        raise NotStructural(f"{path}: every field needs a type; this one could be anything")
    if node.get("additionalProperties") is False:
        raise NotStructural(f"{path}: an object without fields; give it some")
    if node.get("type") == "array" and "items" not in node:
        raise NotStructural(f"{path}: a list must say what its items are")
