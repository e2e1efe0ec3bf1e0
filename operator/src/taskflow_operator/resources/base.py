"""What every part of the resource has in common: camelCase names, frozen values, stated rules."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Strict,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Rule(NamedTuple):
    """A rule across fields, said twice: for the API server in CEL, and for Python.

    The message is fixed and says what to do. One that joins numbers into the text
    (`messageExpression`) would exceed the API server's cost budget.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool]


class Model(BaseModel):
    """A part of the resource.

    Types are as strict as the API server's: `"3"` is not a number. Unknown fields are ignored,
    because an older operator must go on reading what a newer CRD admits; `load` refuses them.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        regex_engine="rust-regex",  # RE2's language, which is what the API server speaks
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obey(self) -> Self:
        broken = [rule.message for rule in self.rules if not rule.holds(self)]
        if broken:
            raise PydanticCustomError("rule", "{sentences}", {"sentences": "; ".join(broken)})
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema["x-kubernetes-validations"] = [
                {"rule": rule.cel, "message": rule.message} for rule in cls.rules
            ]
        return schema


type ListOf[T] = Annotated[tuple[T, ...], Strict(strict=False)]  # YAML has lists, not tuples


@dataclass(frozen=True, slots=True)
class Unique:
    """Makes a list a set, or, with `by`, a map that is keyed by that field of its items."""

    by: str | None = None

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kind: JsonSchemaValue = {"x-kubernetes-list-type": "map" if self.by else "set"}
        if self.by:
            kind["x-kubernetes-list-map-keys"] = [self.by]
        return handler(core_schema) | kind

    def _check[T](self, items: tuple[T, ...]) -> tuple[T, ...]:
        keys = [getattr(item, self.by) if self.by else item for item in items]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise PydanticCustomError(
                "rule",
                "{key} is there twice; {fix}",
                {
                    "key": repr(twice),
                    "fix": f"each needs a {self.by} of its own" if self.by else "once will do",
                },
            )
        return items
