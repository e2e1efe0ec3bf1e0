"""Opaque cursors of keyset lists: where the next page starts, signed together with the list's filters.

A cursor of one list or one set of filters is refused by another, instead of skipping rows silently.
"""

import base64
import binascii
from typing import Any

import msgspec

from taskflow_api.keyring import Keyring
from taskflow_core.errors import FieldError, ValidationFailed

_MAC_BYTES = 16
_MAX_CHARS = 1_000


class CursorRefused(ValidationFailed):
    """The cursor is not one of ours, or belongs to a list with other filters."""

    def __init__(self) -> None:
        super().__init__(
            errors=[
                FieldError(
                    "/query/cursor",
                    "is not a cursor of this list with these filters; leave it out to start over",
                )
            ]
        )


class Cursors:
    """Writes and reads the cursors of all lists. `filters` are any JSON values, the list's name too."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def write(self, position: list[Any], *, filters: object) -> str:
        """Return the cursor of `position`: the sort key of the last row shown, as JSON values."""
        body = msgspec.json.encode(position)
        mac = self._keyring.digest("cursor", _signed(body, filters))[:_MAC_BYTES]
        return base64.urlsafe_b64encode(mac + body).rstrip(b"=").decode()

    def read[Position](self, cursor: str, shape: type[Position], *, filters: object) -> Position:
        """Return the position of a cursor as `shape`. Raises `CursorRefused`."""
        try:
            if len(cursor) > _MAX_CHARS:
                raise CursorRefused
            raw = base64.b64decode(
                cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not self._keyring.verifies("cursor", _signed(body, filters), mac):
                raise CursorRefused
            return msgspec.json.decode(body, type=shape)
        except (binascii.Error, UnicodeEncodeError, msgspec.MsgspecError):
            raise CursorRefused from None


def _signed(body: bytes, filters: object) -> bytes:
    return msgspec.json.encode(filters, order="sorted") + b"\x00" + body
