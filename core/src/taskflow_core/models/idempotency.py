"""Requests that may be repeated without being done twice."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from taskflow_core.models.base import timestamp


class IdempotencyKey(SQLModel, table=True):
    """A client's key, what it was first used for, and the answer it got.

    Written in the transaction of the request itself: the second of two concurrent ones waits on the
    primary key and then finds the answer.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.Index("ix_idempotency_keys_expires_at", "expires_at"),)

    owner_id: UUID = Field(primary_key=True)
    key: str = Field(primary_key=True, sa_type=sa.Text)
    fingerprint: bytes = Field(sa_type=sa.LargeBinary)  # SHA-256 of method, route and body
    status: int | None = None
    headers: str | None = Field(default=None, sa_type=sa.Text)  # a JSON object
    body: bytes | None = Field(default=None, sa_type=sa.LargeBinary)
    created_at: datetime = timestamp(now=True)
    expires_at: datetime = timestamp()
