"""People and their roles."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from taskflow_core.ids import new_id
from taskflow_core.models.base import one_of, timestamp


class Role(StrEnum):
    """What a person may do; `taskflow_api.auth.permissions` has the table."""

    ADMIN = "admin"
    MANAGER = "manager"
    USER = "user"


class User(SQLModel, table=True):
    """A person.

    Deleting one keeps the row, without email, name and password: tasks and audit rows refer to it
    for ever, and its email is free again.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role, "role"),
        # "A@b.c" and "a@b.c" are one mailbox to every provider that matters
        sa.Index("uq_users_email", sa.text("lower(email)"), unique=True),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    email: str | None = Field(default=None, sa_type=sa.Text)
    name: str = Field(sa_type=sa.Text)
    password_hash: str | None = Field(default=None, sa_type=sa.Text, repr=False)
    role: Role = Field(default=Role.USER, sa_type=sa.Text)
    active: bool = Field(default=True, sa_column_kwargs={"server_default": sa.true()})
    version: int = Field(default=1, sa_column_kwargs={"server_default": "1"})
    created_at: datetime = timestamp(now=True)
    updated_at: datetime = timestamp(now=True)
    deleted_at: datetime | None = timestamp(nullable=True)
