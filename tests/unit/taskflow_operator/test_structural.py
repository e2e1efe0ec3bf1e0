"""What pydantic writes, turned into what the API server takes, and refused where that cannot be."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from taskflow_operator.structural import NotStructural, Schema, structural
from tests.unit.taskflow_operator.structural_rules import violations


def of(annotation: Any, **field: Any) -> Schema:
    """Return the structural schema of a field of that type."""

    class Holder(BaseModel):
        it: annotation = Field(**field)

    schema = Holder.model_json_schema()
    definitions = schema.pop("$defs", {})
    turned = structural(schema, definitions, "spec")
    assert not list(violations(turned))
    it: Schema = turned["properties"]["it"]
    return it


class Inner(BaseModel):
    """What is inside."""

    number: int = 3


def test_a_reference_is_put_in_place_and_what_stands_beside_it_wins() -> None:
    assert of(Inner, description="The one inside.", default=Inner()) == {
        "type": "object",
        "description": "The one inside.",
        "default": {},
        "properties": {"number": {"type": "integer", "default": 3}},
    }


def test_a_reference_from_a_list_is_put_in_place() -> None:
    assert of(list[Inner])["items"]["properties"] == {"number": {"type": "integer", "default": 3}}


def test_none_as_an_alternative_becomes_nullable() -> None:
    assert of(Annotated[str, Field(max_length=9)] | None, default=None) == {
        "type": "string",
        "nullable": True,
        "maxLength": 9,
    }


def test_a_model_or_none_becomes_a_nullable_object() -> None:
    turned = of(Inner | None, default=None)

    assert (turned["type"], turned["nullable"], "default" in turned) == ("object", True, False)


def test_a_number_or_text_becomes_int_or_string_with_the_bounds_of_both() -> None:
    number, text = Annotated[int, Field(ge=1)], Annotated[str, Field(pattern="^[0-9]+%$")]

    assert of(number | text) == {
        "x-kubernetes-int-or-string": True,
        "minimum": 1,
        "pattern": "^[0-9]+%$",
    }


def test_a_number_or_text_or_none_is_nullable_too() -> None:
    assert of(int | str | None, default=None) == {
        "x-kubernetes-int-or-string": True,
        "nullable": True,
    }


def test_free_fields_are_preserved() -> None:
    assert of(dict[str, Any]) == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_a_mapping_keeps_the_schema_of_its_values() -> None:
    assert of(dict[str, int])["additionalProperties"] == {"type": "integer"}


def test_forbidding_more_fields_is_left_to_the_server() -> None:
    class Closed(BaseModel, extra="forbid"):
        number: int

    assert "additionalProperties" not in of(Closed)


def test_an_exclusive_bound_becomes_a_bound_and_a_flag() -> None:
    assert of(float, gt=0, lt=1) == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "exclusiveMinimum": True,
        "exclusiveMaximum": True,
    }


def test_a_constant_becomes_an_enumeration_of_one() -> None:
    assert of(Literal["apps/v1"]) == {"type": "string", "enum": ["apps/v1"]}


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | list[int], "integer or array has no structural form"),
        (int | Inner, "integer or object has no structural form"),
        (Any, "every field needs a type"),
        (tuple[int, str], "prefixItems"),
        (set[int], "uniqueItems"),
        (date, "does not know the format date"),
        (list[Any], "every field needs a type"),
    ],
)
def test_what_has_no_structural_form_is_an_error_that_names_the_field(
    annotation: Any, words: str
) -> None:
    with pytest.raises(NotStructural, match=words) as caught:
        of(annotation)

    assert str(caught.value).startswith("spec.it")


def test_the_input_is_left_as_it_was() -> None:
    definitions: Mapping[str, Any] = {"I": {"type": "integer", "title": "I"}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/I"}}}

    structural(schema, definitions)

    assert schema == {"type": "object", "properties": {"a": {"$ref": "#/$defs/I"}}}
    assert definitions == {"I": {"type": "integer", "title": "I"}}
