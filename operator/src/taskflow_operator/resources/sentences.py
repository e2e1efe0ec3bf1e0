"""What pydantic found wrong with a TaskFlow → sentences that name the field and the fix."""

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from taskflow_operator.resources.v1alpha1 import TaskFlow

type Loc = tuple[int | str, ...]


def sentences(error: ValidationError) -> list[str]:
    """Return one sentence for each fault of a TaskFlow, `spec.workers.image: …`."""
    return [_sentence(one) for one in error.errors(include_url=False)]


def _sentence(error: ErrorDetails) -> str:
    path = _path(error["loc"])
    explain = _EXPLAINED.get(error["type"], _as_pydantic_says)
    return f"{path}: {explain(error)}" if path else explain(error)


def _path(loc: Loc) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(parts).lstrip(".")


def _as_pydantic_says(error: ErrorDetails) -> str:
    return error["msg"][0].lower() + error["msg"][1:]


def _bound(words: str) -> Callable[[ErrorDetails], str]:
    def say(error: ErrorDetails) -> str:
        (limit,) = error["ctx"].values()
        return f"{error['input']} will not do; {words.format(limit)}"

    return say


def _wrong_kind(words: str) -> Callable[[ErrorDetails], str]:
    return lambda error: f"must be {words}, not {kind_of(error['input'])}"


def _not_among(error: ErrorDetails) -> str:
    expected = error["ctx"]["expected"]
    if isinstance(error["input"], bool) and "'Off'" in expected:
        return 'write "Off" in quotes; YAML reads a bare Off as false'
    return f"{error['input']!r} must be {expected}"


def _no_such_field(error: ErrorDetails) -> str:
    *parents, name = error["loc"]
    known = _fields_at(parents)
    close = difflib.get_close_matches(str(name), known, n=1)
    said = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"no such field; {said}"


_EXPLAINED: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda _: "is missing; it has no default",
    "extra_forbidden": _no_such_field,
    "literal_error": _not_among,
    "string_type": _wrong_kind("text"),
    "int_type": _wrong_kind("a whole number"),
    "float_type": _wrong_kind("a number"),
    "bool_type": _wrong_kind("true or false"),
    "tuple_type": _wrong_kind("a list"),
    "dict_type": _wrong_kind("a mapping of fields"),
    "model_type": _wrong_kind("a mapping of fields"),
    "greater_than_equal": _bound("it must be {} at least"),
    "less_than_equal": _bound("it must be {} at most"),
    "greater_than": _bound("it must be more than {}"),
    "string_pattern_mismatch": lambda error: (
        f"{error['input']!r} will not do; it must match {error['ctx']['pattern']}"
    ),
}


def kind_of(value: object) -> str:
    """Return what a value of a YAML document is, in words."""
    kinds = {bool: "true or false", str: f"the text {value!r}", list: "a list", dict: "a mapping"}
    return "nothing" if value is None else kinds.get(type(value), f"{value!r}")


def _fields_at(loc: Iterable[int | str]) -> list[str]:
    """Return the names of the fields of the model that stands at a place of the resource."""
    model: type[BaseModel] = TaskFlow
    for part in loc:
        if not isinstance(part, int):
            field = next(one for one in model.model_fields.values() if one.alias == part)
            model = _model_in(field.annotation) or model
    return [field.alias or "" for field in model.model_fields.values()]


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    """Return the model a type is about: itself, an item of its list, or its alternative to None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    alias = getattr(getattr(annotation, "__origin__", None), "__value__", None)
    inner = [*getattr(annotation, "__args__", ()), *([alias] if alias is not None else [])]
    return next((found for one in inner if (found := _model_in(one))), None)
