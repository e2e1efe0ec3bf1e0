"""What the tables share: names of constraints, and columns that every kind of table has."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = SQLModel.metadata
metadata.naming_convention = NAMING

TIMESTAMP = sa.DateTime(timezone=True)


def timestamp(*, now: bool = False, nullable: bool = False) -> Any:  # noqa: ANN401 - as SQLModel's Field
    """Declare a `timestamptz` column; `now`: PostgreSQL's clock fills it in."""
    return Field(
        default=None,
        sa_type=TIMESTAMP,
        nullable=nullable,
        sa_column_kwargs={"server_default": sa.func.now()} if now else {},
    )


def one_of(column: str, values: Iterable[StrEnum], name: str) -> sa.CheckConstraint:
    """Constrain a text column to the values of an enumeration."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} in ({listed})", name=name)
