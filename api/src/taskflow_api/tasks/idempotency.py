"""`Idempotency-Key`: a request that is repeated with the same key is done once and answered twice.

The key is taken, the request done and its answer stored in one transaction, so that a crash between
any two of these leaves none. Of two concurrent requests the second waits for the first at the key's
row. As in draft-ietf-httpapi-idempotency-key-header, without a fingerprint in the key itself.
"""

import hashlib
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from taskflow_api.tasks import statements
from taskflow_api.tasks.errors import IdempotencyKeyReused
from taskflow_core.db.database import Row, fetch
from taskflow_core.errors import Conflict, FieldError, ValidationFailed

LIFE_S = 24 * 3600
_MAX_CHARS = 255
_TRIES = 3


class Answer(msgspec.Struct, frozen=True):
    """What a client is told."""

    status: int
    headers: dict[str, str]
    body: bytes


class Request(msgspec.Struct, frozen=True):
    """Who asked for what under which key."""

    owner_id: UUID
    key: str
    fingerprint: bytes


def checked_key(header: str) -> str:
    """Return the key. Raises `ValidationFailed` unless it has 1 to 255 printable ASCII characters."""
    if not (0 < len(header) <= _MAX_CHARS and header.isascii() and header.isprintable()):
        raise ValidationFailed(
            errors=[
                FieldError(
                    "/header/Idempotency-Key", "must have 1 to 255 printable ASCII characters"
                )
            ]
        )
    return header


def fingerprint(method: str, route: str, body: object) -> bytes:
    """Return the SHA-256 of what is asked, the same for every way to write the same JSON."""
    asked = msgspec.json.encode([method, route, body], order="sorted")
    return hashlib.sha256(asked).digest()


async def once(
    connection: AsyncConnection[Row], request: Request, work: Callable[[], Awaitable[Answer]]
) -> tuple[Answer, bool]:
    """Do `work` on `connection` unless its key was used; return the answer and whether it is a replay.

    `work` must do all it does in this transaction. Raises `IdempotencyKeyReused`.
    """
    for _ in range(_TRIES):
        async with connection.transaction():
            taken = await fetch(
                connection,
                statements.TAKE_KEY,
                request.owner_id,
                request.key,
                request.fingerprint,
                LIFE_S,
            )
            if taken:
                answer = await work()
                await _store(connection, request, answer)
                return answer, False
        replay = await _stored(connection, request)
        if replay is not None:
            return replay, True
        # between the two statements the key expired and was swept: take it again
    raise Conflict(
        "Another request with this Idempotency-Key is being answered. Repeat it shortly."
    )


async def _store(connection: AsyncConnection[Row], request: Request, answer: Answer) -> None:
    headers = msgspec.json.encode(answer.headers).decode()
    await fetch(
        connection,
        statements.STORE_ANSWER,
        request.owner_id,
        request.key,
        answer.status,
        headers,
        answer.body,
    )


async def _stored(connection: AsyncConnection[Row], request: Request) -> Answer | None:
    rows = await fetch(connection, statements.STORED_ANSWER, request.owner_id, request.key)
    if not rows:
        return None
    ((known, status, headers, body),) = rows
    if known != request.fingerprint:
        raise IdempotencyKeyReused
    return Answer(status, msgspec.json.decode(headers, type=dict[str, str]), body)
