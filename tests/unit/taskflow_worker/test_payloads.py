"""Payloads in, results out."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PlainSerializer, field_validator

from taskflow_worker.broker import FlowBroker
from taskflow_worker.declaration import Declaration
from taskflow_worker.errors import InvalidPayload, ResultRefused
from taskflow_worker.payloads import RESULT_MAX_BYTES, arguments, result_json


def declaration(function: Callable[..., Any]) -> Declaration:
    broker = FlowBroker()
    broker.handler("a")(function)
    return broker.declarations["a"]


class Email(BaseModel):
    to: str
    at: datetime | None = None
    copies: Annotated[int, Field(ge=1)] = 1

    @field_validator("to")
    @classmethod
    def _has_an_at(cls, value: str) -> str:
        if "@" not in value:
            raise ValueError("must contain @")
        return value


async def typed(payload: Email) -> None: ...
async def anything(payload: Any) -> None: ...
async def nothing() -> None: ...
async def optional(payload: int | None) -> None: ...
async def defaulted(payload: int = 7) -> None: ...


def read(function: Callable[..., Any], text: str | None) -> tuple[Any, ...]:
    return arguments(declaration(function), text)


def test_a_payload_becomes_what_the_handler_takes() -> None:
    assert read(typed, '{"to": "a@b", "at": "2026-01-02T03:04:05Z"}') == (
        Email(to="a@b", at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    )


@pytest.mark.parametrize("text", ["null", "3", '"x"', "[1, {}]", '{"a": null}', "1e308"])
def test_a_handler_that_takes_anything_gets_the_json(text: str) -> None:
    assert read(anything, text) == (json.loads(text),)


def test_a_number_beyond_64_bits_is_read_all_the_same() -> None:
    assert read(anything, str(10**400)) == (10**400,)


def test_no_payload_is_null_the_default_or_an_error() -> None:
    assert read(anything, None) == (None,)
    assert read(optional, None) == (None,)
    assert read(defaulted, None) == ()
    with pytest.raises(InvalidPayload):
        read(typed, None)


@pytest.mark.parametrize("text", [None, "null", "{}"])
def test_a_handler_without_payload_may_be_sent_nothing(text: str | None) -> None:
    assert read(nothing, text) == ()


def test_a_handler_without_payload_refuses_one() -> None:
    with pytest.raises(InvalidPayload, match="takes no payload"):
        read(nothing, '{"to": "a@b"}')


def test_a_wrong_payload_is_answered_with_where_and_why_and_never_with_what() -> None:
    secret = "hunter2"
    with pytest.raises(InvalidPayload) as refused:
        read(typed, json.dumps({"to": secret, "copies": -5, "at": secret}))

    said = str(refused.value)
    assert "/to: Value error, must contain @" in said
    assert "/copies: Input should be greater than or equal to 1" in said
    assert secret not in said


def test_many_problems_are_counted_and_not_listed() -> None:
    async def numbers(payload: list[int]) -> None: ...

    with pytest.raises(InvalidPayload, match=r"/4: .*; and 995 more$"):
        read(numbers, json.dumps(["x"] * 1000))


def test_a_location_is_bounded_and_escaped() -> None:
    async def by_name(payload: dict[str, int]) -> None: ...

    with pytest.raises(InvalidPayload) as refused:
        read(by_name, json.dumps({"a/b~": "x" * 9, "k" * 100_000: "x"}))
    assert "/a~1b~0: " in str(refused.value)
    assert len(str(refused.value)) < 500


def test_nesting_without_end_is_a_bad_payload() -> None:
    with pytest.raises(InvalidPayload, match="cannot be read"):
        read(anything, "[" * 100_000 + "]" * 100_000)


# ---- results


@dataclass
class Point:
    x: int


class Struct(msgspec.Struct):
    x: int


Cents = Annotated[Decimal, PlainSerializer(lambda value: int(value * 100), return_type=int)]


class Receipt(BaseModel):
    total: Cents


async def untyped() -> Any: ...
async def receipt() -> Receipt:
    return Receipt(total=Decimal(1))


async def cents() -> Cents:
    return Decimal(1)


def written(function: Callable[..., Any], value: object) -> Any:
    return json.loads(result_json(declaration(function), value))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ({"a": [1, 2.5, "x", None, True]}, {"a": [1, 2.5, "x", None, True]}),
        ({1: "int keys"}, {"1": "int keys"}),
        (Point(1), {"x": 1}),
        (Struct(1), {"x": 1}),
        (Receipt(total=Decimal("1.5")), {"total": 150}),
        ([Receipt(total=Decimal(1))], [{"total": 100}]),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (UUID(int=1), str(UUID(int=1))),
        ((1, 2), [1, 2]),
        (math.inf, None),
        ("\\u0000 written out", "\\u0000 written out"),
    ],
)
def test_a_result_is_kept_as_json(value: object, kept: object) -> None:
    assert written(untyped, value) == kept


def test_a_declared_result_is_written_as_declared() -> None:
    assert written(cents, Decimal("1.5")) == 150
    assert written(receipt, Receipt(total=Decimal(2))) == {"total": 200}


@pytest.mark.parametrize(
    "value",
    [object(), {"a": object()}, {(1, 2): 3}, "\ud800", lambda: 0, b"\xff" and open],
)
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(ResultRefused, match="cannot be written as JSON"):
        result_json(declaration(untyped), value)


def test_something_other_than_declared_is_refused_if_it_cannot_be_written() -> None:
    with pytest.raises(ResultRefused, match="cannot be written as JSON"):
        result_json(declaration(receipt), object())


def test_a_result_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(ResultRefused):
        result_json(declaration(untyped), endless)


def test_a_result_is_bounded() -> None:
    fits = "x" * (RESULT_MAX_BYTES - 2)  # two quotes

    assert written(untyped, fits) == fits
    with pytest.raises(ResultRefused, match=r"1,048,577 bytes of JSON; 1,048,576 are kept"):
        result_json(declaration(untyped), fits + "x")


@pytest.mark.parametrize("value", ["\0", "a\\\0", {"k\0": 1}, ["\\\\\0"]])
def test_a_nul_is_refused_wherever_it_hides(value: object) -> None:
    with pytest.raises(ResultRefused, match="NUL"):
        result_json(declaration(untyped), value)


@given(st.recursive(st.text() | st.integers(-(2**53), 2**53) | st.none(), st.lists))
def test_json_goes_through_unchanged_unless_it_has_a_nul(value: object) -> None:
    if "\\u0000" in json.dumps(value).replace("\\\\", ""):
        with pytest.raises(ResultRefused):
            result_json(declaration(untyped), value)
    else:
        assert written(untyped, value) == value
