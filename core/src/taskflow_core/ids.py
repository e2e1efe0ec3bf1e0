"""Identifiers made by the application, since servers before PostgreSQL 18 have no `uuidv7()`."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a UUIDv7 (RFC 9562 §5.7): unique, and ordered by creation time to the millisecond."""
    return uuid7()
