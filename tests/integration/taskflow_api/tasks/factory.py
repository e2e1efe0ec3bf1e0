"""Tasks, people and workers for the tests of this package, put straight into the database."""

from typing import Any
from uuid import UUID

from taskflow_api.tasks.access import Viewer
from taskflow_core.db.database import Database
from taskflow_core.db.link import array
from taskflow_core.ids import new_id
from taskflow_core.queue import statements
from taskflow_core.tasks.create import NewTask, create_tasks

OWNER = Viewer(new_id(), manages=False)
ASSIGNEE = Viewer(new_id(), manages=False)
STRANGER = Viewer(new_id(), manages=False)
MANAGER = Viewer(new_id(), manages=True)


async def create(database: Database, **fields: Any) -> UUID:
    """Insert a task of OWNER's, a person's unless `handler` is given; return its id."""
    given: dict[str, Any] = {"id": new_id(), "owner_id": OWNER.id, "title": "t"} | fields
    task = NewTask(**given)
    async with database.connection() as connection:
        await create_tasks(connection, [task], actor="test")
    return task.id


async def user(database: Database, *, active: bool = True) -> UUID:
    """Insert a user; return their id."""
    id_ = new_id()
    await database.fetch(
        "insert into users (id, email, name, role, active) values ($1, $2, 'n', 'user', $3)",
        id_,
        f"{id_}@example.com",
        active,
    )
    return id_


async def start(database: Database, task: UUID) -> int:
    """Let a worker claim a task; return the worker's session."""
    ((session,),) = await database.fetch(statements.OPEN_SESSION, "default", "replica-1")
    claimed = await database.fetch(statements.CLAIM, session, array([str(task)]), "{}")
    assert len(claimed) == 1
    return int(session)


async def events(database: Database, task: UUID) -> list[tuple[str, Any]]:
    """Return type and data of what happened to a task."""
    rows = await database.fetch(
        "select type, data from task_events where task_id = $1 order by id", task
    )
    return [(type_.removeprefix("task."), data) for type_, data in rows]
