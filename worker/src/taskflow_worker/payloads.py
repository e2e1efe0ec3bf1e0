"""JSON in, values out, and back: payloads are validated, results are checked and bounded."""

import json
import re
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from taskflow_worker.declaration import MISSING, Declaration
from taskflow_worker.errors import InvalidPayload, ResultRefused
from taskflow_worker.problems import problems

RESULT_MAX_BYTES = 1 << 20  # of one result as JSON

# an escaped NUL; an even number of backslashes before it are themselves escaped
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def arguments(declaration: Declaration, text: str | None) -> tuple[Any, ...]:
    """Return the positional arguments that a payload (JSON; None: there is none) makes.

    Raises `InvalidPayload`, or what a validator of the handler's author raises.
    """
    if declaration.payload is None:
        if text not in {None, "null", "{}"}:
            raise InvalidPayload("This handler takes no payload.")
        return ()
    if text is None:
        if declaration.payload_default is not MISSING:
            return ()
        text = "null"
    if declaration.takes is None:
        return (_plain(text),)
    return (_validated(declaration.takes, text),)


def to_json(value: object) -> str:
    """Write any value that msgspec or pydantic can write. Raises what they raise."""
    return _encoder.encode(value).decode()


def result_json(declaration: Declaration, value: object) -> str:
    """Return a result as the JSON that is kept. Raises `ResultRefused`."""
    if value is None and declaration.gives is None:
        return "null"
    try:
        body = (
            _encoder.encode(value)
            if declaration.gives is None
            else declaration.gives.dump_json(value, warnings="none")
        )
    except Exception as error:  # serialisers of the handler's author raise anything
        problem = f"{type(error).__name__}: {error}"
        raise ResultRefused(f"The result cannot be written as JSON: {problem}") from error
    if len(body) > RESULT_MAX_BYTES:
        raise ResultRefused(
            f"The result is {len(body):,} bytes of JSON; {RESULT_MAX_BYTES:,} are kept at most."
            " Store it elsewhere and return where it is."
        )
    if b"\\u0000" in body and _NUL.search(body):
        raise ResultRefused("The result contains a NUL character, which PostgreSQL cannot keep.")
    return body.decode()


def _plain(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:  # numbers beyond 64 bits that msgspec will not have
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"It cannot be read ({type(error).__name__}).") from None


def _validated(adapter: TypeAdapter[Any], text: str) -> object:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        raise InvalidPayload(problems(error)) from None


def _fallback(value: object) -> object:
    """Let pydantic write what msgspec does not know: models, URLs, paths."""
    return to_jsonable_python(value)


_encoder = msgspec.json.Encoder(enc_hook=_fallback)
