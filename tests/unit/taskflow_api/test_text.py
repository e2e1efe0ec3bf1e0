"""What clients may send as text, moments and JSON."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from taskflow_api.text import Email, FlowName, Handler, Json, Line, Moment, Paragraph


def accepts(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ('O\'Brien; "quoted" <b>&', True),
        ("日本語 🔑", True),
        (" kept as given ", True),
        ("x" * 200, True),
        ("", False),
        ("   ", False),
        ("x" * 201, False),
        ("two\nlines", False),
        ("nul\x00", False),
        ("escape\x1b[0m", False),
        ("c1\x85", False),
        ("line\u2028separator", False),
        (7, False),
        (None, False),
    ],
)
def test_a_line(value: object, good: bool) -> None:  # noqa: FBT001
    assert accepts(Line, value) is good


def test_text_is_kept_as_it_is() -> None:
    assert TypeAdapter(Line).validate_python(" a  b ") == " a  b "


@pytest.mark.parametrize(
    ("value", "good"),
    [("a\n\tb\r\nc", True), ("", True), ("a\rb", False), ("a\x00", False), ("x" * 10_001, False)],
)
def test_a_paragraph(value: str, good: bool) -> None:  # noqa: FBT001
    assert accepts(Paragraph, value) is good


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ("ada@example.com", True),
        ("Ada.L+x@sub.example.co.uk", True),
        ("ada", False),
        ("ada@", False),
        ("Ada <ada@example.com>", False),
        ("ada@example.com\n", False),
        ("a" * 250 + "@example.com", False),
    ],
)
def test_an_email(value: str, good: bool) -> None:  # noqa: FBT001
    assert accepts(Email, value) is good


@pytest.mark.parametrize(
    ("kind", "value", "good"),
    [
        (FlowName, "default", True),
        (FlowName, "a-1", True),
        (FlowName, "-a", False),
        (FlowName, "A", False),
        (FlowName, "a" * 64, False),
        (FlowName, "a\n", False),
        (Handler, "emails.send", True),
        (Handler, "http.request", True),
        (Handler, "_x.Y-2", True),
        (Handler, "1x", False),
        (Handler, "a..b", False),
        (Handler, "a b", False),
        (Handler, "a" * 101, False),
    ],
)
def test_names(kind: Any, value: str, good: bool) -> None:  # noqa: FBT001
    assert accepts(kind, value) is good


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2030-01-31T09:00:00Z", datetime(2030, 1, 31, 9, tzinfo=UTC)),
        ("2030-01-31T09:00:00+02:00", datetime(2030, 1, 31, 7, tzinfo=UTC)),
        ("2030-01-31 09:00:00.5-01:30", datetime(2030, 1, 31, 10, 30, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_moment_is_read_in_utc(value: str, moment: datetime) -> None:
    assert TypeAdapter(Moment).validate_python(value) == moment


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2030-01-31T09:00:00", "time zone"),
        ("2030-01-31", "date and time"),
        ("1893456000", "date and time"),
        (1_893_456_000, "string"),
        ("tomorrow", "date and time"),
        ("2030-13-31T09:00:00Z", "date and time"),
        ("0001-01-01T00:00:00+14:00", "1970"),
        ("9999-12-31T23:59:59-14:00", "9998"),
        (True, "string"),
    ],
)
def test_what_is_no_moment_is_told_how_to_be_one(value: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TypeAdapter(Moment).validate_python(value)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (None, True),
        ({"a": [1, 2.5, True, None, "x"]}, True),
        ("\\u0000 as text", True),
        (2**64 - 1, True),
        (-(2**63), True),
        (nested(63), True),
        (nested(64), False),
        ("nul\x00", False),
        ({"key\x00": 1}, False),
        ([{"a": ["nul\x00"]}], False),
        (2**64, False),
        ("x" * (256 * 1024), False),
        ("\ud800", False),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_json_that_postgresql_can_keep(value: object, good: bool) -> None:  # noqa: FBT001
    assert accepts(Json, value) is good
