"""The log of everything that happened to tasks, written in the transaction that made it happen."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class Xid8(sa.types.UserDefinedType[int]):
    """A full transaction id."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401, D102 - SQLAlchemy's method
        return "xid8"


class TaskEvent(SQLModel, table=True):
    """One change of one task. Append-only, partitioned by `at` (see `taskflow_core.db.partitions`).

    `id` grows but not in the order of commits: whoever follows the log reads only rows with
    `txid < pg_snapshot_xmin(pg_current_snapshot())`, so that a slow transaction is never skipped.
    No foreign key to tasks: the log outlives what it speaks of.
    """

    __tablename__ = "task_events"
    __table_args__ = ({"postgresql_partition_by": "RANGE (at)"},)

    # one index serves as the primary key and as "the events of a task, in order"
    task_id: UUID = Field(primary_key=True)
    id: int | None = Field(
        default=None,
        sa_column=sa.Column(sa.BigInteger, sa.Identity(always=True), primary_key=True),
    )
    at: datetime = Field(
        default=None,
        sa_column=sa.Column(
            sa.DateTime(timezone=True), primary_key=True, server_default=sa.func.now()
        ),
    )
    txid: int = Field(
        default=None,
        sa_column=sa.Column(Xid8(), nullable=False, server_default=sa.text("pg_current_xact_id()")),
    )
    type: str = Field(sa_type=sa.Text)
    attempt: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    actor: str | None = Field(
        default=None, sa_type=sa.Text
    )  # user:<id>, worker:<session>, dispatcher
    data: Any = Field(default=None, sa_type=JSONB(none_as_null=True), nullable=True)
    traceparent: str | None = Field(default=None, sa_type=sa.Text)
