"""Every read of tasks and their events.

A user's list is two index ranges (what they own, what they are given), each cut to one page and merged:
the same cost whether the table holds a thousand rows or a hundred million. Filters and other orders than
by creation read more of the two ranges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from taskflow_api.tasks.compiled import Compiled, compiled, text_of
from taskflow_api.tasks.rows import EventRow, TaskRow
from taskflow_api.tasks.sorting import Sort
from taskflow_core.models import Task, TaskEvent
from taskflow_core.models.base import TIMESTAMP
from taskflow_core.tasks.states import FINAL, Priority, TaskStatus

_tasks = sa.inspect(Task).local_table
_events = sa.inspect(TaskEvent).local_table
_t = _tasks.c

_PRIORITY_NAMES = ", ".join(f"'{priority.name}'" for priority in sorted(Priority))
_OPEN = [str(status) for status in TaskStatus if status not in FINAL]


def _json(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    # as text: it is passed on, never looked into
    return sa.cast(column, sa.Text)


_SHOWN: dict[str, sa.ColumnElement[Any]] = {
    "priority": sa.literal_column(f"(array[{_PRIORITY_NAMES}])[tasks.priority + 1]"),
    # a person's task has no time to run, only the column has
    "run_at": sa.literal_column("case when tasks.handler is not null then tasks.run_at end"),
    "payload": _json(_t.payload),
    "progress": _json(_t.progress),
    "result": _json(_t.result),
    "error": _json(_t.error),
}
_columns = [_SHOWN.get(name, _t[name]).label(name) for name in TaskRow.__struct_fields__]

# the columns of a task, in the order of `TaskRow`, out of whatever is called `tasks`
COLUMNS = ", ".join(text_of(_SHOWN.get(name, _t[name])) for name in TaskRow.__struct_fields__)

# one task by id
TASK = compiled(sa.select(*_columns).where(_t.id == sa.bindparam("id", type_=sa.Uuid())))

# who a task belongs to
PEOPLE = compiled(
    sa.select(_t.owner_id, _t.assignee_id).where(_t.id == sa.bindparam("id", type_=sa.Uuid()))
)

# the events of one task after the event `after`, oldest first
EVENTS = compiled(
    sa.select(
        *(
            _json(_events.c.data).label("data") if name == "data" else _events.c[name]
            for name in EventRow.__struct_fields__
        )
    )
    .where(
        _events.c.task_id == sa.bindparam("id", type_=sa.Uuid()),
        _events.c.id > sa.bindparam("after", type_=sa.BigInteger()),
    )
    .order_by(_events.c.id)
    .limit(sa.bindparam("rows", type_=sa.Integer()))
)

# a row if the user exists and is active. $1 id
ACTIVE_USER = """
select true from users where id = $1::uuid and active and deleted_at is null
"""


# ---- lists ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides about the text of a list's statement; values are its parameters.

    `everything`: all tasks and not only the viewer's. `filters`: names of the `FILTERS` in force.
    """

    everything: bool
    filters: frozenset[str]
    sort: Sort
    after: bool
    offset: bool


def _is_overdue() -> sa.ColumnElement[bool]:
    late = sa.func.coalesce(_t.due_at < sa.func.now(), sa.false())
    return sa.and_(late, _t.status.in_([sa.literal_column(f"'{status}'") for status in _OPEN]))


def _bind(name: str, type_: Any) -> sa.BindParameter[Any]:  # noqa: ANN401 - a type or its class
    return sa.bindparam(name, type_=type_)


_any: Callable[[Any], Any] = sa.any_
FILTERS: dict[str, sa.ColumnElement[bool]] = {
    "status": _t.status == _any(_bind("status", ARRAY(sa.Text))),
    "priority": _t.priority == _any(_bind("priority", ARRAY(sa.SmallInteger))),
    "owner_id": _t.owner_id == _bind("owner_id", sa.Uuid),
    "assignee_id": _t.assignee_id == _bind("assignee_id", sa.Uuid),
    "flow": _t.flow == _bind("flow", sa.Text),
    "handler": _t.handler == _bind("handler", sa.Text),
    "search": sa.or_(
        _t.title.ilike(_bind("search", sa.Text), escape="\\"),
        _t.description.ilike(_bind("search", sa.Text), escape="\\"),
    ),
    "due_from": _t.due_at >= _bind("due_from", TIMESTAMP),
    "due_to": _t.due_at < _bind("due_to", TIMESTAMP),
    "created_from": _t.created_at >= _bind("created_from", TIMESTAMP),
    "created_to": _t.created_at < _bind("created_to", TIMESTAMP),
    "overdue": _is_overdue() == _bind("overdue", sa.Boolean),
}


def _sort_key(sort: Sort) -> tuple[sa.ColumnElement[Any], Any] | None:
    """Return what a list is sorted by before the id, and its type; None: by the id alone."""
    match sort.name:
        case "created_at":
            return None
        case "due_at":
            never: sa.ColumnElement[Any] = sa.literal_column(f"'{sort.never}'::timestamptz")
            return sa.func.coalesce(_t.due_at, never), TIMESTAMP
        case name:
            return _t[name], _t[name].type


@lru_cache(maxsize=1_000)
def page(shape: Shape) -> Compiled:
    """Return the statement of a page.

    Parameters: those of the filters; `me` unless `everything`; `after_id` (and `after_key`, unless sorted
    by creation) if `after`; `skip` if `offset`; and `rows`, the most to return. `reach`, if `offset` and
    not `everything`, is `skip + rows`.
    """
    key, key_type = _sort_key(shape.sort) or (None, None)
    position = [_t.id] if key is None else [key, _t.id]
    conditions = _conditions(shape.filters)
    if shape.after:
        bound = [_bind("after_id", sa.Uuid)]
        if key is not None:
            bound.insert(0, _bind("after_key", key_type))
        here, there = sa.tuple_(*position), sa.tuple_(*bound)
        conditions.append(here < there if shape.sort.descending else here > there)
    order = _directed(position, shape.sort)
    rows, skip = _bind("rows", sa.Integer), _bind("skip", sa.Integer)
    if shape.everything:
        found = sa.select(*_columns).where(*conditions).order_by(*order).limit(rows)
        return compiled(found.offset(skip) if shape.offset else found)
    return compiled(_merged(shape, key, conditions, order))


def _merged(
    shape: Shape,
    key: sa.ColumnElement[Any] | None,
    conditions: list[sa.ColumnElement[bool]],
    order: list[sa.ColumnElement[Any]],
) -> sa.Select[Any]:
    """Merge what the viewer owns and what they are given; what is both stands once."""
    rows, skip, me = _bind("rows", sa.Integer), _bind("skip", sa.Integer), _bind("me", sa.Uuid)
    selected = _columns if key is None else [*_columns, key.label("sort_key")]
    reach = _bind("reach", sa.Integer) if shape.offset else rows
    ranges = [
        sa.select(
            sa.select(*selected)
            .where(mine == me, *conditions)
            .order_by(*order)
            .limit(reach)
            .subquery()
        )
        for mine in (_t.owner_id, _t.assignee_id)
    ]
    both = sa.union_all(*ranges).subquery("mine")
    position = [both.c.id] if key is None else [both.c.sort_key, both.c.id]
    found = (
        sa.select(*(both.c[name] for name in TaskRow.__struct_fields__))
        .ext(distinct_on(*position))
        .order_by(*_directed(position, shape.sort))
        .limit(rows)
    )
    return found.offset(skip) if shape.offset else found


@lru_cache(maxsize=1_000)
def total(everything: bool, filters: frozenset[str]) -> Compiled:  # noqa: FBT001 - a cache's key
    """Return the statement that counts a list; parameters as of `page`."""
    conditions = _conditions(filters)
    if not everything:
        me = _bind("me", sa.Uuid)
        conditions.append(sa.or_(_t.owner_id == me, _t.assignee_id == me))
    return compiled(sa.select(sa.func.count()).select_from(_tasks).where(*conditions))


def _conditions(filters: frozenset[str]) -> list[sa.ColumnElement[bool]]:
    return [FILTERS[name] for name in sorted(filters)]


def _directed(parts: Sequence[sa.ColumnElement[Any]], sort: Sort) -> list[sa.ColumnElement[Any]]:
    return [part.desc() if sort.descending else part.asc() for part in parts]
