"""Who runs tasks and who leads."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from taskflow_core.models.base import timestamp


class WorkerSession(SQLModel, table=True):
    """One life of a worker: it holds the lease of every task it runs, by one heartbeat."""

    __tablename__ = "worker_sessions"
    __table_args__ = (
        sa.Index(
            "ix_worker_sessions_live", "heartbeat_at", postgresql_where=sa.text("ended_at is null")
        ),
    )

    id: int | None = Field(
        default=None,
        sa_column=sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True),
    )
    flow: str = Field(sa_type=sa.Text)
    replica: str = Field(sa_type=sa.Text)
    started_at: datetime = timestamp(now=True)
    heartbeat_at: datetime = timestamp(now=True)
    ended_at: datetime | None = timestamp(nullable=True)
    ended_reason: str | None = Field(default=None, sa_type=sa.Text)


class Lease(SQLModel, table=True):
    """Leadership of a named duty until `expires_at`; `term` counts its holders, for fencing."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True, sa_type=sa.Text)
    holder: str = Field(sa_type=sa.Text)
    term: int = Field(default=1, sa_type=sa.BigInteger)
    expires_at: datetime = timestamp()
