"""How fast one worker drains durable tasks, and how soon a committed task starts."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg

from taskflow_cli.bench.cores import cpu_s
from taskflow_cli.bench.stage import Stage
from taskflow_cli.bench.worker import CLOCK, NOOP
from taskflow_cli.errors import CommandError
from taskflow_core.db.database import Database
from taskflow_core.ids import new_id
from taskflow_core.queue import keys
from taskflow_core.queue.window import Entry, Window
from taskflow_core.redis import connect
from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_core.tasks.create import NewTask, create_tasks
from taskflow_core.tasks.states import Priority

SLOTS = 200
FLOW = "default"
_STAGING = "staging"  # a flow without workers: its window is filled there and then moved
_BATCH = 1_000
_PAYLOAD = {"text": "x" * 86}  # 100 bytes as JSON
_DRAIN_TIMEOUT_S = 600.0
_PER_SECOND = 100
_WARM_UP = 100  # tasks before any is measured: imports, plans and connections are not the question

# drained: from the first claim to the last completion's commit; every task with its whole history
_DRAINED = """
select count(*) filter (where events = '{task.created,task.started,task.completed}'
                          and status = 'COMPLETED' and attempt = 1),
       extract(epoch from max(ended) - min(began))::float8
  from (select t.id, t.status, t.attempt, array_agg(e.type order by e.id) as events,
               min(e.at) filter (where e.type = 'task.started') as began,
               max(pg_xact_commit_timestamp(e.txid::xid))
                 filter (where e.type = 'task.completed') as ended
          from tasks t join task_events e on e.task_id = t.id
         where t.handler = %s group by t.id) x
"""
_UNFINISHED = "select count(*) from tasks where handler = %s and finished_at is null"
# waits: from the commit of the creation to the handler's first line, milliseconds
_WAITS = """
select 1000 * ((t.result #>> '{}')::float8
               - extract(epoch from pg_xact_commit_timestamp(e.txid::xid))::float8)
  from tasks t join task_events e on e.task_id = t.id and e.type = 'task.created'
 where t.handler = %s and t.status = 'COMPLETED' order by t.id
"""


@dataclass(frozen=True)
class Drain:
    """What a drain took. `worker_us` and `postgres_us` are processor time per task, microseconds."""

    tasks: int
    seconds: float
    worker_us: float
    postgres_us: float

    @property
    def rate(self) -> float:
        """Tasks per second."""
        return self.tasks / self.seconds


@dataclass(frozen=True)
class Pickup:
    """From commit to start at a steady rate, milliseconds."""

    tasks: int
    p50_ms: float
    p99_ms: float
    max_ms: float


async def drain(stage: Stage, tasks: int, progress: Callable[[int], None]) -> Drain:
    """Let one worker drain `tasks` no-ops that all stand in the window when it begins.

    Raises `CommandError` unless every one is COMPLETED at its first attempt, with all its events.
    """
    ids = await _create(stage, tasks, NOOP, publish=True)
    with (
        stage.process(
            "taskflow_cli.bench.worker", stage.cores.worker, TASKFLOW_SLOTS=str(SLOTS)
        ) as worker,
        psycopg.connect(stage.database_url, autocommit=True) as connection,
    ):
        stage.wait_for("select 1 from worker_sessions where ended_at is null", "the worker")
        _settle(connection)
        assert stage.postgres.process is not None  # noqa: S101 - it runs
        measured = (worker.pid, stage.postgres.process.pid)
        before = [cpu_s(pid) for pid in measured]
        await _open(stage, ids)
        await _wait_finished(connection, NOOP, tasks, progress)
        worker_s, postgres_s = (
            cpu_s(pid) - earlier for pid, earlier in zip(measured, before, strict=True)
        )
        row = connection.execute(_DRAINED, (NOOP,)).fetchone()
    complete, seconds = row or (0, 0.0)
    if complete != tasks:
        raise CommandError(
            f"Only {complete} of {tasks} tasks were completed once, with their history."
        )
    return Drain(tasks, seconds, worker_s / tasks * 1e6, postgres_s / tasks * 1e6)


async def pickup(stage: Stage, seconds: float, progress: Callable[[int], None]) -> Pickup:
    """Create tasks one by one at 100/s, as the API does, and see when their handlers begin."""
    with (
        stage.process("taskflow_worker.dispatcher", stage.cores.servers),
        stage.process("taskflow_cli.bench.worker", stage.cores.worker, TASKFLOW_SLOTS=str(SLOTS)),
        psycopg.connect(stage.database_url, autocommit=True) as connection,
    ):
        stage.wait_for("select 1 from worker_sessions where ended_at is null", "the worker")
        stage.wait_for("select 1 from leases where expires_at > now()", "the dispatcher")
        count = _WARM_UP + int(seconds * _PER_SECOND)
        await _trickle(stage, count, progress)
        await _wait_finished(connection, CLOCK, count, lambda _: None)
        waits = [float(ms) for (ms,) in connection.execute(_WAITS, (CLOCK,)).fetchall()]
    if len(waits) != count:
        raise CommandError(f"Only {len(waits)} of {count} tasks were completed.")
    measured = waits[_WARM_UP:]
    cuts = statistics.quantiles(measured, n=100, method="inclusive")
    return Pickup(len(measured), cuts[49], cuts[98], max(measured))


def _settle(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Write out what creating the tasks has left to do: that is not what is measured."""
    connection.execute("vacuum analyze tasks")
    connection.execute("checkpoint")


async def _create(stage: Stage, count: int, handler: str, *, publish: bool) -> list[UUID]:
    owner, ids = new_id(), [new_id() for _ in range(count)]
    async with Database.open(_database(stage), application_name="bench") as database:
        for first in range(0, count, _BATCH):
            batch = [
                NewTask(
                    id=task_id,
                    owner_id=owner,
                    title="bench",
                    flow=FLOW,
                    handler=handler,
                    payload=_PAYLOAD,
                    publish=publish,
                )
                for task_id in ids[first : first + _BATCH]
            ]
            async with database.connection() as connection:
                await create_tasks(connection, batch, actor=f"user:{owner}")
    return ids


async def _open(stage: Stage, ids: list[UUID]) -> None:
    """Put all entries into the window at one moment."""
    async with connect(_redis(stage)) as redis:
        await Window(redis).publish(_STAGING, [Entry(task_id, Priority.MEDIUM) for task_id in ids])
        staged = keys.ready_of(_STAGING, Priority.MEDIUM)
        await redis.rename(staged, keys.ready_of(FLOW, Priority.MEDIUM))


async def _trickle(stage: Stage, count: int, progress: Callable[[int], None]) -> None:
    owner = new_id()
    async with (
        Database.open(_database(stage), application_name="bench") as database,
        connect(_redis(stage)) as redis,
    ):
        window, began = Window(redis), time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / _PER_SECOND - time.monotonic()))
            task = NewTask(
                id=new_id(), owner_id=owner, title="bench", flow=FLOW, handler=CLOCK, publish=True
            )
            async with database.connection() as connection:
                await create_tasks(connection, [task], actor=f"user:{owner}")
            await window.publish(FLOW, [Entry(task.id, Priority.MEDIUM)], arrivals=1)
            progress(number + 1)


async def _wait_finished(
    connection: psycopg.Connection[tuple[object, ...]],
    handler: str,
    count: int,
    progress: Callable[[int], None],
) -> None:
    deadline = time.monotonic() + _DRAIN_TIMEOUT_S
    while True:
        # rarely: the query is served by the core that is measured
        await asyncio.sleep(0.25)
        row = connection.execute(_UNFINISHED, (handler,)).fetchone()
        left = int(str(row[0])) if row else count
        progress(count - left)
        if not left:
            return
        if time.monotonic() > deadline:
            raise CommandError(
                f"{left} of {count} tasks had not ended after {_DRAIN_TIMEOUT_S:.0f} s."
            )


def _database(stage: Stage) -> DatabaseSettings:
    return DatabaseSettings.model_validate(
        {"DATABASE_URL": stage.database_url, "TASKFLOW_DB_POOL_SIZE": 2}
    )


def _redis(stage: Stage) -> RedisSettings:
    return RedisSettings.model_validate({"REDIS_URL": stage.valkey.url})
