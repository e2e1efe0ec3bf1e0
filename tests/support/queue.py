"""Steps of the queue protocol, as a test writes them down."""

import json
from typing import Any
from uuid import UUID

from taskflow_core.db.database import Database
from taskflow_core.db.link import Link, array
from taskflow_core.ids import new_id
from taskflow_core.queue import statements
from taskflow_core.tasks.create import NewTask, create_tasks

OWNER = new_id()
DEFAULTS = json.dumps({"echo": 3, "once": 1})  # handler → attempts


async def create(database: Database, *, publish: bool = True, **fields: Any) -> str:
    (task_id,) = await create_many(database, 1, publish=publish, **fields)
    return task_id


async def create_many(
    database: Database, count: int, *, publish: bool = True, **fields: Any
) -> list[str]:
    fields = {"handler": "echo"} | fields
    tasks = [
        NewTask(id=new_id(), owner_id=OWNER, title="t", publish=publish, **fields)
        for _ in range(count)
    ]
    async with database.connection() as connection:
        await create_tasks(connection, tasks, actor=f"user:{OWNER}")
    return [str(task.id) for task in tasks]


async def open_session(link: Link, flow: str = "default") -> int:
    ((session,),) = await link.fetch(statements.OPEN_SESSION, flow, "replica-1")
    return int(session)


async def claim(link: Link, session: int, *ids: str) -> list[tuple[str, int]]:
    """Return (id, attempt) of what was claimed, by id."""
    rows = await link.fetch(statements.CLAIM, session, array(ids), DEFAULTS)
    return sorted((ids[row[0] - 1], row[1]) for row in rows)


async def complete(
    link: Link,
    session: int,
    task: str,
    attempt: int,
    outcome: str = "COMPLETED",
    *,
    pause_s: float = 0,
    body: object = None,
) -> bool:
    """Tell whether the end of the attempt was accepted."""
    rows = await link.fetch(
        statements.COMPLETE,
        session,
        array([task]),
        array([str(attempt)]),
        array([outcome]),
        array([str(pause_s)]),
        json.dumps([body]),
    )
    return bool(rows)


async def row(link: Link, task: str, columns: str) -> tuple[object, ...]:
    (found,) = await link.fetch(f"select {columns} from tasks where id = $1::uuid", UUID(task))
    return found


async def events(link: Link, task: str) -> list[str]:
    rows = await link.fetch(
        "select type from task_events where task_id = $1::uuid order by id", UUID(task)
    )
    return [type_.removeprefix("task.") for (type_,) in rows]
