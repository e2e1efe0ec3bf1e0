"""SQLAlchemy selects over the SQLModel tables, compiled once to what psycopg prepares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg

# `$n` instead of `%(name)s`: PostgreSQL's own notation needs no rewriting at each call
_DIALECT: sa.Dialect = psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call] # SQLAlchemy's own gap


@dataclass(frozen=True, slots=True)
class Compiled:
    """SQL with `$n` placeholders, and the names of its parameters in that order."""

    sql: str
    names: tuple[str, ...]

    def parameters(self, values: Mapping[str, Any]) -> list[Any]:
        """Return the parameters in their order. Raises `KeyError` if `values` lacks one."""
        return [values[name] for name in self.names]


def compiled(select: sa.Select[Any]) -> Compiled:
    """Compile a select whose only values are named bind parameters.

    Raises `ValueError` for a literal value: it would need a place in every call.
    """
    done = select.compile(dialect=_DIALECT)
    if any(value is not None for value in done.params.values()):
        raise ValueError("the statement has values that are not named bind parameters")
    return Compiled(str(done), tuple(done.positiontup or ()))


def text_of(expression: sa.ColumnElement[Any]) -> str:
    """Return the SQL of one expression, for a statement that is written by hand."""
    return str(expression.compile(dialect=_DIALECT))
