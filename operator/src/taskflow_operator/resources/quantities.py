"""Values that people write as text: durations, percentages, CPU and memory."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# the Gateway API's duration (GEP-2257): a subset of Go's, so that CEL's duration() reads it too
DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
_DURATION = re.compile(DURATION_PATTERN)
_PARTS = re.compile(r"([0-9]+)(ms|h|m|s)")
_UNIT_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_PERCENT = re.compile(r"^([0-9]{1,3})%$")


class Duration(str):
    """A duration as it was written: `90s`, `5m`, `1h30m`. Raises ValueError for anything else."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Refuse what is not a duration."""
        if not _DURATION.fullmatch(text):
            raise ValueError(f"{text!r} is not a duration; write one such as 90s, 5m or 1h30m")
        return super().__new__(cls, text)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        parts = _PARTS.findall(self)
        return sum(int(number) * _UNIT_MS[unit] for number, unit in parts) / 1000

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _duration, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}


def _duration(value: object) -> Duration:
    try:
        return Duration(value if isinstance(value, str) else repr(value))
    except ValueError as error:
        raise PydanticCustomError("duration", "{sentence}", {"sentence": str(error)}) from None


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds of a duration, both included."""

    least: Duration
    most: Duration

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        least, most = f"duration('{self.least}')", f"duration('{self.most}')"
        return handler(core_schema) | {
            "x-kubernetes-validations": [
                {
                    "rule": f"duration(self) >= {least} && duration(self) <= {most}",
                    "message": self._message,
                }
            ]
        }

    @property
    def _message(self) -> str:
        return f"must be between {self.least} and {self.most}"

    def _check(self, value: Duration) -> Duration:
        if not self.least.seconds <= value.seconds <= self.most.seconds:
            raise PydanticCustomError("rule", "{sentence}", {"sentence": self._message})
        return value


def between(least: str, most: str) -> Between:
    """Return the bounds `least` to `most`."""
    return Between(Duration(least), Duration(most))


class IntOrText:
    """Validates `int | str` as Kubernetes' int-or-string does: nothing else, no conversion."""

    def __init__(self, pattern: str, example: str, minimum: int = 0) -> None:
        self._pattern = re.compile(pattern)
        self._example = example
        self._minimum = minimum

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._check, serialization=core_schema.plain_serializer_function_ser_schema(_itself)
        )

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {
            "anyOf": [
                {"type": "integer", "minimum": self._minimum},
                {"type": "string", "pattern": self._pattern.pattern, "maxLength": 32},
            ]
        }

    def _check(self, value: object) -> int | str:
        if isinstance(value, int) and not isinstance(value, bool) and value >= self._minimum:
            return value
        if isinstance(value, str) and self._pattern.fullmatch(value):
            return value
        raise PydanticCustomError(
            "int_or_string",
            "{value} will not do; write {example}",
            {"value": repr(value), "example": self._example},
        )


def _itself(value: int | str) -> int | str:
    return value


type Step = Annotated[
    int | str, IntOrText(r"^([1-9]|[1-9][0-9]|100)%$", "a number such as 2, or 1% to 100%", 1)
]
type Share = Annotated[
    int | str, IntOrText(r"^([0-9]|[1-9][0-9]|100)%$", "a number such as 2, or 0% to 100%")
]
# Kubernetes' quantity: a float is not one there either, CPU is written as text
type Quantity = Annotated[
    int | str,
    IntOrText(
        r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        'one such as 2, "0.5", 500m or 1Gi',
    ),
]


def part_of(share: int | str, whole: int) -> int:
    """Return how many of `whole` an int-or-percent share is, rounded down."""
    percent = _PERCENT.fullmatch(share) if isinstance(share, str) else None
    return math.floor(Fraction(int(percent[1]), 100) * whole) if percent else int(share)
