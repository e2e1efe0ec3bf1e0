"""What the API server does with a custom resource, as far as it goes without one.

Prune, default, validate by schema, then by CEL rules, in that order and with the API server's own
exceptions: a null that is not nullable is as good as absent, rules run only on what the schema
accepts, and inside a rule a null is as good as absent too. The rules themselves are evaluated by a
real CEL implementation (cel-rust). Source: "CustomResourceDefinitions" in the Kubernetes
documentation, and `apiserver/pkg/cel/common/values.go`.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

import cel

type Schema = dict[str, Any]


def admit(schema: Schema, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the object as it would be stored, and why it is refused: sentences with paths."""
    stored = copy.deepcopy(body)
    errors = list(_unknown(schema, stored, ""))
    _default(schema, stored)
    errors += _invalid(schema, stored, "")
    return stored, errors or list(_broken(schema, stored, ""))


def _unknown(schema: Schema, value: Any, path: str) -> Iterator[str]:
    """Name the fields that strict field validation, kubectl's default, refuses."""
    for name, child, child_schema in _children(schema, value):
        if child_schema is None:
            yield f"{path}.{name}: unknown field".lstrip(".")
        else:
            yield from _unknown(child_schema, child, _join(path, name))


def _default(schema: Schema, value: Any) -> None:
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if value.get(name, ...) is None and not child.get("nullable"):
                del value[name]
            if name not in value and "default" in child:
                value[name] = copy.deepcopy(child["default"])
    for _, child, child_schema in _children(schema, value):
        if child_schema is not None:
            _default(child_schema, child)


def _invalid(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if value is None and schema.get("nullable"):
        return
    if not _has_type(schema, value):
        yield f"{path}: must be of type {schema.get('type', 'integer or string')}"
        return
    yield from (f"{path}: {said}" for said in _bounds(schema, value))
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_join(path, name)}: Required value"
    for name, child, child_schema in _children(schema, value):
        if child_schema is not None:
            yield from _invalid(child_schema, child, _join(path, name))


def _has_type(schema: Schema, value: Any) -> bool:
    if schema.get("x-kubernetes-int-or-string"):
        return isinstance(value, int | str) and not isinstance(value, bool)
    kinds: dict[str, Any] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "object": dict,
        "array": list,
    }
    right = isinstance(value, kinds[schema["type"]])
    return right and (schema["type"] == "boolean" or not isinstance(value, bool))


def _bounds(schema: Schema, value: Any) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"supported values: {schema['enum']}"
    if isinstance(value, str):
        yield from _text_bounds(schema, value)
    elif isinstance(value, list | dict):
        size = len(value)
        kind = "Items" if isinstance(value, list) else "Properties"
        if not schema.get(f"min{kind}", 0) <= size <= schema.get(f"max{kind}", size):
            yield f"{size} items are too few or too many"
        yield from _list_bounds(schema, value)
    elif not isinstance(value, bool):
        yield from _number_bounds(schema, value)


def _text_bounds(schema: Schema, value: str) -> Iterator[str]:
    if "pattern" in schema and not re.search(_re2(schema["pattern"]), value):
        yield f"should match {schema['pattern']}"
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        yield f"should have {least} to {most} characters"


def _re2(pattern: str) -> str:
    """In RE2 a dollar is the end of the text; in Python it may also stand before a newline."""
    return pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern


def _number_bounds(schema: Schema, value: float) -> Iterator[str]:
    least, most = schema.get("minimum", value), schema.get("maximum", value)
    if value < least or (schema.get("exclusiveMinimum") and value == least):
        yield f"should be greater than or equal to {least}"
    if value > most:
        yield f"should be less than or equal to {most}"


def _list_bounds(schema: Schema, value: Any) -> Iterator[str]:
    if kind := schema.get("x-kubernetes-list-type"):
        by = schema.get("x-kubernetes-list-map-keys", [])
        keys = [tuple(item.get(key) for key in by) if kind == "map" else item for item in value]
        if any(keys.count(key) > 1 for key in keys):
            yield "Duplicate value"


def _broken(schema: Schema, value: Any, path: str) -> Iterator[str]:
    if value is None:
        return
    for rule in schema.get("x-kubernetes-validations", ()):
        if cel.evaluate(rule["rule"], {"self": _seen_by_rules(value)}) is not True:
            yield f"{path}: {rule['message']}"
    for name, child, child_schema in _children(schema, value):
        if child_schema is not None:
            yield from _broken(child_schema, child, _join(path, name))


def _seen_by_rules(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _seen_by_rules(child) for name, child in value.items() if child is not None}
    return [_seen_by_rules(child) for child in value] if isinstance(value, list) else value


def _children(schema: Schema, value: Any) -> Iterator[tuple[str | int, Any, Schema | None]]:
    """Yield name, value and schema of what is inside; no schema where the API server has none."""
    if isinstance(value, list) and "items" in schema:
        yield from ((index, item, schema["items"]) for index, item in enumerate(value))
    elif isinstance(value, dict) and "additionalProperties" in schema:
        yield from ((name, child, schema["additionalProperties"]) for name, child in value.items())
    elif isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        yield from ((name, child, known.get(name)) for name, child in value.items())


def _join(path: str, name: str | int) -> str:
    return f"{path}[{name}]" if isinstance(name, int) else f"{path}.{name}".lstrip(".")
