"""Everything that logins ask of PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_api.auth.clients import Client
from taskflow_api.keyring import Keyring
from taskflow_core.models import RefreshToken, SecurityEvent, Session, User
from taskflow_core.models.sessions import SecurityEventType


async def now(db: AsyncSession) -> datetime:
    """Return PostgreSQL's clock: the one by which all that is stored was stamped."""
    return (await db.exec(select(sa.func.now()))).one()


async def user_by_email(db: AsyncSession, email: str) -> User | None:
    """Find a person by email, whatever its case."""
    found = await db.exec(select(User).where(sa.func.lower(User.email) == sa.func.lower(email)))
    return found.first()


async def user_by_id(db: AsyncSession, user_id: UUID, *, lock: bool = False) -> User | None:
    """Find a person who is not deleted; `lock`: nobody else changes them until the commit."""
    query = select(User).where(User.id == user_id, col(User.deleted_at).is_(None))
    if lock:
        # not the whole lock: rows that refer to a person (sessions, audit) take a share of it, and one
        # written while its session is locked would wait for us, who wait for that session
        query = query.with_for_update(key_share=True)
    return (await db.exec(query)).first()


async def refresh_token(db: AsyncSession, sha256: bytes) -> RefreshToken | None:
    """Find a refresh token by its hash and lock it: its refreshes take turns."""
    query = select(RefreshToken).where(RefreshToken.token_sha256 == sha256).with_for_update()
    return (await db.exec(query)).first()


async def live_sessions(db: AsyncSession, user_id: UUID) -> list[Session]:
    """Return a person's sessions that are in force, newest first."""
    query = (
        select(Session)
        .where(
            Session.user_id == user_id,
            col(Session.revoked_at).is_(None),
            Session.expires_at > sa.func.now(),
        )
        .order_by(col(Session.created_at).desc())
    )
    return list((await db.exec(query)).all())


async def revoke_sessions(
    db: AsyncSession,
    user_id: UUID,
    reason: str,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
) -> int:
    """End a person's sessions (`only` one, or all `but` one); return how many were live."""
    statement = (
        sa.update(Session)
        .where(col(Session.user_id) == user_id, col(Session.revoked_at).is_(None))
        .values(revoked_at=sa.func.now(), revoked_reason=reason)
    )
    if only is not None:
        statement = statement.where(col(Session.id) == only)
    if but is not None:
        statement = statement.where(col(Session.id) != but)
    return int((await db.exec(statement)).rowcount)


def audit(
    db: AsyncSession,
    event: SecurityEventType,
    *,
    user_id: UUID | None,
    actor_id: UUID | None = None,
    client: Client | None = None,
    keyring: Keyring | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Add a row to the security audit, in the caller's transaction."""
    db.add(
        SecurityEvent(
            user_id=user_id,
            actor_id=actor_id or user_id,
            type=event,
            ip_hash=client.place(keyring) if client and keyring else None,
            user_agent=client.user_agent if client else None,
            data=data,
        )
    )
