"""Logins: sessions, the refresh tokens that rotate within them, and the security audit."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from taskflow_core.ids import new_id
from taskflow_core.models.base import timestamp


class Session(SQLModel, table=True):
    """One login and the family of refresh tokens that followed from it."""

    __tablename__ = "sessions"
    __table_args__ = (sa.Index("ix_sessions_user_id", "user_id", "created_at"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    ip_hash: str | None = Field(default=None, sa_type=sa.Text)  # keyed hash, never the address
    user_agent: str | None = Field(default=None, sa_type=sa.Text)
    created_at: datetime = timestamp(now=True)
    last_used_at: datetime = timestamp(now=True)
    expires_at: datetime = timestamp()
    revoked_at: datetime | None = timestamp(nullable=True)
    revoked_reason: str | None = Field(default=None, sa_type=sa.Text)


class RefreshToken(SQLModel, table=True):
    """One refresh token of a session: its SHA-256, never the token.

    The token that replaces it is HMAC-SHA256 of this token and `salt` under a server key, so that the
    answer to a refresh can be given again when it was lost, without being stored.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = (sa.Index("ix_refresh_tokens_session_id", "session_id"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    session_id: UUID = Field(foreign_key="sessions.id", ondelete="CASCADE")
    token_sha256: bytes = Field(sa_type=sa.LargeBinary, unique=True, repr=False)
    salt: bytes = Field(sa_type=sa.LargeBinary, repr=False)
    issued_at: datetime = timestamp(now=True)
    expires_at: datetime = timestamp()
    used_at: datetime | None = timestamp(nullable=True)
    used_ip_hash: str | None = Field(default=None, sa_type=sa.Text)
    used_user_agent: str | None = Field(default=None, sa_type=sa.Text)
    replaced_by: UUID | None = None


class SecurityEventType(StrEnum):
    """What the security audit records."""

    REGISTERED = "registered"
    LOGGED_IN = "logged_in"
    LOGIN_FAILED = "login_failed"
    LOGGED_OUT = "logged_out"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere"
    SESSION_REVOKED = "session_revoked"
    REFRESH_REUSED = "refresh_reused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of an event
    ROLE_CHANGED = "role_changed"
    USER_CHANGED = "user_changed"
    USER_DELETED = "user_deleted"


class SecurityEvent(SQLModel, table=True):
    """Something an auditor asks about. Append-only."""

    __tablename__ = "security_events"
    __table_args__ = (sa.Index("ix_security_events_user_id_id", "user_id", "id"),)

    id: int | None = Field(
        default=None,
        sa_column=sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True),
    )
    user_id: UUID | None = Field(default=None, foreign_key="users.id")
    actor_id: UUID | None = None
    type: str = Field(sa_type=sa.Text)
    ip_hash: str | None = Field(default=None, sa_type=sa.Text)
    user_agent: str | None = Field(default=None, sa_type=sa.Text)
    data: dict[str, Any] | None = Field(default=None, sa_type=JSONB(none_as_null=True))
    at: datetime = timestamp(now=True)
