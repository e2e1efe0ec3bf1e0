"""Reads of tasks: one statement each, straight from rows to bytes."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET
from psycopg.errors import QueryCanceled

from taskflow_api.cursors import Cursors
from taskflow_api.tasks import queries
from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.errors import ListTooSlow, TaskNotFound
from taskflow_api.tasks.filters import REACH_MAX, EventFilters, TaskFilters
from taskflow_api.tasks.rows import EventRow, MetaRow, PageRow, TaskRow, event_row, task_row
from taskflow_api.tasks.sorting import Sort
from taskflow_core.db.database import Database, Row, fetch
from taskflow_core.errors import FieldError, Unavailable, ValidationFailed


async def task_by_id(database: Database, viewer: Viewer, task_id: UUID) -> TaskRow:
    """Return a task. Raises `TaskNotFound` also when the viewer may not see it."""
    rows = await database.fetch(queries.TASK.sql, task_id)
    if not rows:
        raise TaskNotFound
    task = task_row(rows[0])
    if not viewer.sees(task.owner_id, task.assignee_id):
        raise TaskNotFound
    return task


async def task_page(
    database: Database, cursors: Cursors, viewer: Viewer, filters: TaskFilters
) -> PageRow[TaskRow]:
    """Return a page of the tasks that the viewer may see.

    Raises `CursorRefused`, `ListTooSlow`, and `ValidationFailed` for a page beyond the
    first 10,000 tasks.
    """
    conditions, sort = filters.conditions(), Sort.named(filters.sort)
    # a cursor is good for this list of this viewer only
    signed = ["tasks", viewer.id, viewer.manages, filters.sort, conditions]
    shape = queries.Shape(
        everything=viewer.manages,
        filters=frozenset(conditions),
        sort=sort,
        after=filters.cursor is not None,
        offset=filters.page is not None,
    )
    values = conditions | {"me": viewer.id, "rows": filters.limit + 1} | _offset(filters)
    if filters.cursor is not None:
        values |= sort.parameters(cursors.read(filters.cursor, sort.shape, filters=signed))
    rows, total = await _rows_and_total(database, shape, values, counted=filters.total)
    tasks = [task_row(row) for row in rows[: filters.limit]]
    cursor = None
    if len(rows) > filters.limit:
        cursor = cursors.write(sort.position(tasks[-1]), filters=signed)
    page = UNSET if filters.page is None else filters.page
    return PageRow(tasks, MetaRow(filters.limit, cursor, total, page))


async def _rows_and_total(
    database: Database, shape: queries.Shape, values: dict[str, Any], *, counted: bool
) -> tuple[list[Row], int | msgspec.UnsetType]:
    """Fetch a page and, if asked for, the length of its list. Raises `ListTooSlow`."""
    statement = queries.page(shape)
    try:
        async with database.connection() as connection:
            rows = await fetch(connection, statement.sql, *statement.parameters(values))
            if not counted:
                return rows, UNSET
            count = queries.total(shape.everything, shape.filters)
            ((total,),) = await fetch(connection, count.sql, *count.parameters(values))
            return rows, total
    except Unavailable as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise ListTooSlow from error
        raise


async def event_page(
    database: Database, cursors: Cursors, viewer: Viewer, task_id: UUID, filters: EventFilters
) -> PageRow[EventRow]:
    """Return a page of a task's log, oldest first; managers may read those of deleted tasks.

    Within one task the order of ids is the order of commits, since each change holds the task's lock
    when its event gets its id. Raises `TaskNotFound`, `CursorRefused`.
    """
    signed = ["task-events", task_id, viewer.id]
    after = 0
    if filters.cursor is not None:
        (after,) = cursors.read(filters.cursor, tuple[int], filters=signed)
    events = queries.EVENTS.parameters({"id": task_id, "after": after, "rows": filters.limit + 1})
    async with database.connection() as connection:
        people = await fetch(connection, queries.PEOPLE.sql, task_id)
        if not (viewer.sees(*people[0]) if people else viewer.manages):
            raise TaskNotFound
        rows = await fetch(connection, queries.EVENTS.sql, *events)
    if not (people or rows or after):
        raise TaskNotFound
    shown = [event_row(row) for row in rows[: filters.limit]]
    more = len(rows) > filters.limit
    following = cursors.write([shown[-1].id], filters=signed) if more else None
    return PageRow(shown, MetaRow(filters.limit, following))


def _offset(filters: TaskFilters) -> dict[str, int]:
    """Return the parameters of a page that is asked for by number. Raises `ValidationFailed`."""
    if filters.page is None:
        return {}
    if filters.cursor is not None:
        raise _bad_page("cannot be combined with `cursor`: send one of them")
    if filters.page * filters.limit > REACH_MAX:
        raise _bad_page(f"must stay within the first {REACH_MAX} tasks; go on with `cursor` there")
    skip = (filters.page - 1) * filters.limit
    return {"skip": skip, "reach": skip + filters.limit + 1}


def _bad_page(detail: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError("/query/page", detail)])
