"""Sessions and the refresh tokens that rotate within them (RFC 9700 §4.14).

Each refresh token is good for one refresh. One that comes again means that two parties hold it, so the
whole session ends; except that its own client may repeat the last refresh for a few seconds, since the
answer may have been lost, and then gets the same answer again.
"""

import base64
import binascii
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_api.auth import queries
from taskflow_api.auth.clients import Client
from taskflow_api.auth.errors import BadRefreshToken
from taskflow_api.auth.schemas import TokenPair, UserRead
from taskflow_api.resources import Resources
from taskflow_core.ids import new_id
from taskflow_core.models import RefreshToken, Session, User
from taskflow_core.models.sessions import SecurityEventType

_BYTES = 32
_REUSED = "refresh token reused"
_MOVED = "another place and another client at once"


class Refreshed(NamedTuple):
    """The outcome of a refresh; without a pair the session was ended, and that must be committed."""

    pair: TokenPair | None


async def begin(resources: Resources, db: AsyncSession, user: User, client: Client) -> TokenPair:
    """Open a session for a person who has just proven who they are."""
    settings, at = resources.settings.auth, await queries.now(db)
    session = Session(
        user_id=user.id,
        ip_hash=client.place(resources.keyring),
        user_agent=client.user_agent,
        expires_at=at + timedelta(seconds=settings.session_ttl_s),
    )
    db.add(session)
    await db.flush()
    secret = secrets.token_bytes(_BYTES)
    row = _row(resources, session, secret, secrets.token_bytes(16), at)
    db.add(row)
    return _pair(resources, user, session, row, secret, at)


async def refresh(resources: Resources, db: AsyncSession, token: str, client: Client) -> Refreshed:
    """Exchange a refresh token for a new pair. Raises `BadRefreshToken`."""
    secret = _secret(token)
    used = await queries.refresh_token(db, hashlib.sha256(secret).digest())
    if used is None:
        raise BadRefreshToken
    session = await db.get(Session, used.session_id, with_for_update=True)
    user = await queries.user_by_id(db, session.user_id) if session else None
    at = await queries.now(db)
    if session is None or user is None or not user.active:
        raise BadRefreshToken
    if session.revoked_at is not None or session.expires_at <= at:
        raise BadRefreshToken
    if used.used_at is not None:
        return await _repeat(resources, db, user, session, used, secret, client)
    if used.expires_at <= at:
        raise BadRefreshToken
    if _is_somebody_else(resources, session, client):
        await _end(resources, db, session, client, SecurityEventType.SESSION_REVOKED, _MOVED)
        return Refreshed(None)
    return Refreshed(await _rotate(resources, db, user, session, used, secret, client, at))


async def end_by_token(resources: Resources, db: AsyncSession, token: str, client: Client) -> bool:
    """End the session that a refresh token belongs to, if there is one; tell whether there was."""
    try:
        secret = _secret(token)
    except BadRefreshToken:
        return False
    found = await queries.refresh_token(db, hashlib.sha256(secret).digest())
    session = await db.get(Session, found.session_id) if found else None
    if session is None or session.revoked_at is not None:
        return False
    await _end(resources, db, session, client, SecurityEventType.LOGGED_OUT, "logged out")
    return True


async def _rotate(  # noqa: PLR0913, PLR0917 - all of it is one row's story
    resources: Resources,
    db: AsyncSession,
    user: User,
    session: Session,
    used: RefreshToken,
    secret: bytes,
    client: Client,
    at: datetime,
) -> TokenPair:
    salt = secrets.token_bytes(16)
    successor = resources.keyring.digest("refresh", secret + salt)
    row = _row(resources, session, successor, salt, at)
    db.add(row)
    used.used_at, used.replaced_by = at, row.id
    used.used_ip_hash = session.ip_hash = client.place(resources.keyring)
    used.used_user_agent = session.user_agent = client.user_agent
    session.last_used_at = at
    return _pair(resources, user, session, row, successor, at)


async def _repeat(
    resources: Resources,
    db: AsyncSession,
    user: User,
    session: Session,
    used: RefreshToken,
    secret: bytes,
    client: Client,
) -> Refreshed:
    """Answer a token that was used before: with the same answer, or with the session's end."""
    at = await queries.now(db)
    grace = timedelta(seconds=resources.settings.auth.replay_grace_s)
    successor = await db.get(RefreshToken, used.replaced_by) if used.replaced_by else None
    same_client = used.used_user_agent == client.user_agent and client.is_at(
        used.used_ip_hash, resources.keyring
    )
    if used.used_at and successor and same_client and at - used.used_at <= grace:
        again = _derive(resources, secret, successor)
        if successor.used_at is None and again is not None:
            return Refreshed(_pair(resources, user, session, successor, again, used.used_at))
    await _end(resources, db, session, client, SecurityEventType.REFRESH_REUSED, _REUSED)
    return Refreshed(None)


def _is_somebody_else(resources: Resources, session: Session, client: Client) -> bool:
    """Tell whether place and client both changed since the session was last used.

    People move, and browsers are updated; a token that is suddenly elsewhere and with another client
    was taken along by somebody else.
    """
    renamed = session.user_agent is not None and client.user_agent != session.user_agent
    return renamed and client.has_left(session.ip_hash, resources.keyring)


async def _end(
    resources: Resources,
    db: AsyncSession,
    session: Session,
    client: Client,
    event: SecurityEventType,
    reason: str,
) -> None:
    await queries.revoke_sessions(db, session.user_id, reason, only=session.id)
    queries.audit(
        db,
        event,
        user_id=session.user_id,
        client=client,
        keyring=resources.keyring,
        data={"session_id": str(session.id), "reason": reason},
    )


def _derive(resources: Resources, secret: bytes, successor: RefreshToken) -> bytes | None:
    """Make the successor's secret again, by whichever live key made it."""
    for _, candidate in resources.keyring.digests("refresh", secret + successor.salt):
        if hashlib.sha256(candidate).digest() == successor.token_sha256:
            return candidate
    return None


def _row(
    resources: Resources, session: Session, secret: bytes, salt: bytes, at: datetime
) -> RefreshToken:
    lifetime = timedelta(seconds=resources.settings.auth.refresh_ttl_s)
    return RefreshToken(
        id=new_id(),
        session_id=session.id,
        token_sha256=hashlib.sha256(secret).digest(),
        salt=salt,
        issued_at=at,
        expires_at=min(at + lifetime, session.expires_at),
    )


def _pair(
    resources: Resources,
    user: User,
    session: Session,
    row: RefreshToken,
    secret: bytes,
    at: datetime,
) -> TokenPair:
    return TokenPair(
        access_token=resources.tokens.issue(user.id, session.id, user.role, token_id=row.id, at=at),
        refresh_token=base64.urlsafe_b64encode(secret).rstrip(b"=").decode(),
        expires_in=resources.settings.auth.access_ttl_s,
        user=UserRead.model_validate(user),
    )


def _secret(token: str) -> bytes:
    try:
        secret = base64.b64decode(token.encode("ascii") + b"=", altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadRefreshToken from None
    if len(secret) != _BYTES:
        raise BadRefreshToken
    return secret
