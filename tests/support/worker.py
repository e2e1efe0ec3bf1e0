"""A worker under test: in this process at a fast pace, or as a process of its own to be killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.link import Link
from taskflow_core.ids import new_id
from taskflow_core.queue import upkeep
from taskflow_core.queue.window import Entry, Window
from taskflow_core.settings import DatabaseSettings, RedisSettings, WorkerSettings
from taskflow_core.tasks.create import NewTask, create_tasks
from taskflow_worker.broker import FlowBroker
from taskflow_worker.tempo import Tempo
from taskflow_worker.worker import Worker, worker
from tests.support.waiting import eventually

OWNER = new_id()
FLOW = "default"
FINAL = {"COMPLETED", "FAILED", "CANCELLED"}
# a twenty-fifth of the real pace
FAST = Tempo(
    beat_every_s=0.2,
    lease_s=0.6,
    look_every_s=0.05,
    cancel_grace_s=0.3,
    stop_grace_s=0.5,
    pop_wait_s=0.2,
    progress_every_s=0.05,
    flush_s=3.0,
)


class Lab:
    """PostgreSQL, Valkey, a broker for handlers of the test, and what a dispatcher would do."""

    def __init__(
        self,
        database: Database,
        link: Link,
        redis: Redis,
        settings: tuple[DatabaseSettings, RedisSettings],
    ) -> None:
        self.database, self.link, self.redis = database, link, redis
        self.window = Window(redis)
        self.broker = FlowBroker()
        self.database_settings, self.redis_settings = settings

    @asynccontextmanager
    async def worker(
        self,
        *,
        slots: int = 10,
        grace_s: float = 5.0,
        tempo: Tempo = FAST,
        registry: CollectorRegistry | None = None,
        database: DatabaseSettings | None = None,
        redis: RedisSettings | None = None,
    ) -> AsyncIterator[Worker]:
        """Run a worker of this lab's broker that has opened its session."""
        settings = WorkerSettings(TASKFLOW_SLOTS=slots, TASKFLOW_GRACE_S=grace_s)
        async with worker(
            settings,
            database or self.database_settings,
            redis or self.redis_settings,
            broker=self.broker,
            registry=registry,
            tempo=tempo,
        ) as running:
            await asyncio.wait_for(running.ready(), 10)
            yield running

    async def create(self, handler: str, *payloads: object, **fields: Any) -> list[str]:
        """Create and publish one task per payload."""
        tasks = [
            NewTask(
                id=new_id(),
                owner_id=OWNER,
                title="t",
                handler=handler,
                payload=payload,
                publish=True,
                **fields,
            )
            for payload in payloads
        ]
        async with self.database.connection() as connection:
            await create_tasks(connection, tasks, actor=f"user:{OWNER}")
        ids = [str(task.id) for task in tasks]
        await self.publish(*ids)
        return ids

    async def create_one(self, handler: str, payload: object = None, **fields: Any) -> str:
        (task_id,) = await self.create(handler, payload, **fields)
        return task_id

    async def publish(self, *task_ids: str) -> None:
        """Push entries to the window."""
        await self.window.publish(FLOW, [Entry(UUID(each), 1) for each in task_ids])

    async def top_up(self) -> int:
        """Publish what waits and is due, as the dispatcher does."""
        rows = await self.link.fetch(
            "update tasks set published_at = now()"
            " where waiting and published_at is null and run_at <= now() returning id::text"
        )
        await self.publish(*(row[0] for row in rows))
        return len(rows)

    async def audit(self) -> None:
        """Publish again what was published and is not in the window."""
        rows = await self.link.fetch(
            "select id::text from tasks where waiting and published_at is not null"
        )
        listed = await self.window.task_ids(FLOW)
        await self.publish(*(row[0] for row in rows if row[0] not in listed))

    async def expire(self, older_than_s: float = 0.0) -> None:
        """End the sessions whose heartbeats are old, and give back what they ran."""
        await self.link.fetch(
            "update worker_sessions set ended_at = now(), ended_reason = 'heartbeats missed'"
            " where ended_at is null and heartbeat_at <= now() - make_interval(secs => $1::float8)",
            older_than_s,
        )
        await self.link.fetch(upkeep.SWEEP)

    @asynccontextmanager
    async def dispatcher(self, *, lease_s: float | None = None) -> AsyncIterator[None]:
        """Do the dispatcher's rounds all the time; expire sessions too if `lease_s` is given."""

        async def rounds() -> None:
            while True:
                if lease_s is not None:
                    await self.expire(lease_s)
                await self.link.fetch(upkeep.SWEEP)
                await self.top_up()
                await self.audit()
                await asyncio.sleep(0.1)

        going = asyncio.create_task(rounds())
        try:
            yield
        finally:
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)

    async def row(self, task_id: str, columns: str) -> tuple[Any, ...]:
        (found,) = await self.link.fetch(
            f"select {columns} from tasks where id = $1::text::uuid", task_id
        )
        return found

    async def status(self, task_id: str) -> str:
        return str((await self.row(task_id, "status"))[0])

    async def events(self, task_id: str) -> list[str]:
        rows = await self.link.fetch(
            "select type from task_events where task_id = $1::text::uuid order by id", task_id
        )
        return [type_.removeprefix("task.") for (type_,) in rows]

    async def reaches(self, task_id: str, status: str, *, within_s: float = 10.0) -> None:
        await eventually(
            lambda: self.status(task_id),
            lambda seen: seen == status,
            within_s=within_s,
            what=f"task {task_id} becoming {status}",
        )

    async def result(self, task_id: str, *, within_s: float = 10.0) -> Any:
        """Wait until a task is COMPLETED; return its result."""
        await self.reaches(task_id, "COMPLETED", within_s=within_s)
        return (await self.row(task_id, "result"))[0]

    async def error(self, task_id: str, *, status: str = "FAILED") -> dict[str, Any]:
        """Wait until a task is FAILED; return its error."""
        await self.reaches(task_id, status)
        found: dict[str, Any] = (await self.row(task_id, "error"))[0]
        return found

    async def counts(self) -> dict[str, int]:
        rows = await self.link.fetch("select status, count(*) from tasks group by status")
        return dict(rows)

    async def all_completed(self, count: int, *, within_s: float = 30.0) -> None:
        await eventually(
            self.counts,
            lambda seen: seen == {"COMPLETED": count},
            within_s=within_s,
            what=f"{count} tasks completed",
        )

    async def completed_twice(self) -> int:
        """Count tasks with more than one completion in their history: there must be none."""
        ((count,),) = await self.link.fetch(
            "select count(*) from (select from task_events where type = 'task.completed'"
            " group by task_id having count(*) > 1) x"
        )
        return int(count)

    async def started_twice(self) -> int:
        """Count tasks whose handler was started more than once (what was handed back never was)."""
        ((count,),) = await self.link.fetch(
            "select count(*) from (select from task_events group by task_id"
            " having count(*) filter (where type = 'task.started')"
            " > 1 + count(*) filter (where type = 'task.returned')) x"
        )
        return int(count)

    async def sessions(self) -> list[tuple[int, str | None]]:
        rows = await self.link.fetch("select id, ended_reason from worker_sessions order by id")
        return [(int(row[0]), row[1]) for row in rows]


class WorkerProcess:
    """`python -m taskflow_worker` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process, self._log = process, log

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has said so far."""
        lines = self._log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    @property
    def raw_log(self) -> str:
        return self._log.read_text()

    def said(self, event: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["event"] == event]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def says(self, event: str, *, within_s: float = 20.0) -> dict[str, Any]:
        async def look() -> list[dict[str, Any]]:
            if self.process.poll() is not None and not self.said(event):
                raise AssertionError(f"it ended with {self.process.returncode}:\n{self.raw_log}")
            return self.said(event)

        entries = await eventually(look, bool, within_s=within_s, what=f"the worker saying {event}")
        return entries[-1]

    async def ends(self, *, within_s: float = 20.0) -> int:
        """Wait for its end; return the exit code."""

        async def look() -> int | None:
            return self.process.poll()

        code = await eventually(
            look, lambda seen: seen is not None, within_s=within_s, what="the worker ending"
        )
        assert code is not None
        return code

    async def stop(self, *, within_s: float = 20.0) -> tuple[int, float]:
        """Send SIGTERM; return exit code and seconds until the end."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        return await self.ends(within_s=within_s), time.monotonic() - began


@contextmanager
def worker_process(
    log: Path, database_url: str, redis_url: str, *, python_path: Path | None = None, **env: str
) -> Iterator[WorkerProcess]:
    """Start a worker; `env` are more variables, `python_path` has more packages. Killed at the end."""
    variables = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TASKFLOW_LOG": "json",
    } | env
    if python_path is not None:
        variables["PYTHONPATH"] = str(python_path)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "taskflow_worker"], env=variables, stdout=output, stderr=output
        )
    try:
        yield WorkerProcess(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def install_handlers(folder: Path, code: str, *, name: str = "testhandlers") -> None:
    """Make a distribution whose entry point names a module with `code`, importable from `folder`."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[taskflow.handlers]\n{name} = {name}_module\n")
    (folder / f"{name}_module.py").write_text(code)
