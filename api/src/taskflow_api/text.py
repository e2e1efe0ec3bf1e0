"""Types for what clients send: each says what it accepts, and refuses without repeating anything.

Text is stored as given and escaped where it is shown. Control characters are refused: they forge log
lines and terminals, and PostgreSQL takes no NUL.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, LiteralString

import msgspec
from email_validator import EmailNotValidError, validate_email
from pydantic import (
    AfterValidator,
    BeforeValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

REFUSED = "taskflow"  # the type of errors whose words are ours and may be shown
JSON_MAX_DEPTH = 64
JSON_MAX_BYTES = 256 * 1024

# C0, DEL, C1, the Unicode line ends; a lone surrogate cannot even be written as UTF-8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)  # room for any zone's offset before datetime ends
_DATETIME = TypeAdapter(datetime)


def refused(words: LiteralString) -> PydanticCustomError:
    """Return the error to raise from a validator: `words` continue the name of the field."""
    return PydanticCustomError(REFUSED, words)


def _line(value: str) -> str:
    if _CONTROL.search(value):
        raise refused("must be one line without control characters")
    if not value.strip():
        raise refused("must not be blank")
    return value


def _paragraph(value: str) -> str:
    # a browser's text field sends "\r\n"
    if _CONTROL_BUT_LINES.search(value.replace("\r\n", "\n")):
        raise refused("must not have control characters other than tabs and line ends")
    return value


def as_registered(email: str) -> str:
    """Return an address in the form that registering gave it; what is no address stays as it is."""
    try:
        return validate_email(email, check_deliverability=False).normalized
    except EmailNotValidError:
        return email


def _email(value: str) -> str:
    try:
        return validate_email(
            _line(value), check_deliverability=False, allow_display_name=False
        ).normalized
    except EmailNotValidError:
        raise refused("must be an email address, such as ada@example.com") from None


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        if not _ISO_DATE.match(value):
            raise refused("must be a date and time, such as 2030-01-31T09:00:00Z")
        try:
            value = _DATETIME.validate_python(value)
        except ValidationError:
            raise refused("must be a date and time, such as 2030-01-31T09:00:00Z") from None
    if not isinstance(value, datetime):
        raise refused("must be a string with a date and time, such as 2030-01-31T09:00:00Z")
    if value.tzinfo is None:
        raise refused("must carry a time zone, such as Z or +02:00")
    if (
        not _EARLIEST.replace(tzinfo=None)
        <= value.replace(tzinfo=None)
        < _LATEST.replace(tzinfo=None)
    ):
        raise refused("must be between the years 1970 and 9998")
    return value.astimezone(UTC)


def _json(value: Any) -> Any:  # noqa: ANN401 - any JSON
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > JSON_MAX_DEPTH:
            raise refused("must not be nested more than 64 levels deep")
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node)
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
            else:
                _json_leaf(node)
        level = below
    try:
        size = len(msgspec.json.encode(value))
    except (UnicodeEncodeError, TypeError, ValueError):
        raise refused("must be JSON") from None
    if size > JSON_MAX_BYTES:
        raise refused("must not be larger than 256 KiB")
    return value


def _json_leaf(node: object) -> None:
    if isinstance(node, str) and "\x00" in node:
        raise refused("must not have NUL characters in strings or names")
    if isinstance(node, int) and not -(2**63) <= node < 2**64:
        raise refused("must not have whole numbers of more than 64 bits; send them as strings")


Line = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_line)]
LoginName = Annotated[str, StringConstraints(min_length=1, max_length=254), AfterValidator(_line)]
Paragraph = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_paragraph)]
Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=254),
    AfterValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "minLength": 3, "maxLength": 254}),
]
FlowName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", max_length=63)
]
Handler = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$", max_length=100),
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Json = Annotated[
    Any,
    AfterValidator(_json),
    WithJsonSchema({"description": "Any JSON, up to 256 KiB and 64 levels."}),
]
