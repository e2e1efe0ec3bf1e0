"""PostgreSQL and Redis come and go; a worker neither dies nor idles, and nothing is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from structlog.testing import capture_logs

from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_core.queue import keys
from tests.support.waiting import eventually
from tests.support.worker import FLOW, Lab

TASKS = 400

# Servers are started from the main thread: they end with the thread that started them.


async def done(lab: Lab) -> int:
    return (await lab.counts()).get("COMPLETED", 0)


@asynccontextmanager
async def under_load(lab: Lab) -> AsyncIterator[None]:
    """Break something in the block, when a quarter is done; then all must end well."""

    @lab.broker.handler("load")
    async def load(payload: int) -> int:
        await asyncio.sleep(0.02)
        return payload

    tasks = await lab.create("load", *range(TASKS))
    async with lab.worker(slots=10) as worker:
        await eventually(lambda: done(lab), lambda n: n >= TASKS // 4, what="some load")
        yield
        async with lab.dispatcher():
            await lab.all_completed(TASKS, within_s=40)
        assert worker.is_alive
    results = await lab.link.fetch("select id::text, result from tasks")
    assert dict(results) == dict(zip(tasks, range(TASKS), strict=True))
    assert await lab.completed_twice() == 0
    assert await lab.started_twice() == 0


async def progress_after(lab: Lab, before: int) -> None:
    """Wait until more is done than `before`, or everything."""
    await eventually(
        lambda: done(lab), lambda n: n > before or n == TASKS, what="progress after the cut"
    )


async def test_redis_connections_are_cut_again_and_again(lab: Lab, redis_url: str) -> None:
    async with under_load(lab):
        with SyncRedis.from_url(redis_url) as admin:
            for _ in range(5):
                before = await done(lab)
                admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await progress_after(lab, before)


async def test_database_backends_are_terminated_again_and_again(
    lab: Lab, postgres: EmbeddedPostgres
) -> None:
    async def terminate() -> int:
        # none, while the worker is still on its way back from the cut before
        return int(
            postgres.psql(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where application_name like 'taskflow-worker%'"
            )
        )

    async with under_load(lab):
        for _ in range(4):
            before = await done(lab)
            await eventually(terminate, lambda killed: killed >= 1, what="a backend to terminate")
            await progress_after(lab, before)


async def test_redis_forgets_everything(lab: Lab, redis: Redis) -> None:
    async with under_load(lab):
        await redis.flushall()


async def test_redis_is_restarted(lab: Lab, valkey: EmbeddedValkey) -> None:
    async with under_load(lab):
        valkey.kill()
        valkey.start()


async def test_postgresql_is_restarted(lab: Lab, postgres: EmbeddedPostgres) -> None:
    async with under_load(lab):
        postgres.stop()
        postgres.start()


async def test_a_pop_that_never_returns_is_given_up(lab: Lab, valkey: EmbeddedValkey) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    assert valkey.process is not None
    with capture_logs() as logs:
        async with lab.worker():
            valkey.process.send_signal(signal.SIGSTOP)
            try:

                async def said() -> bool:
                    return any(entry["event"] == "worker.window_lost" for entry in logs)

                await eventually(said, bool, what="the worker noticing")
            finally:
                valkey.process.send_signal(signal.SIGCONT)
            await lab.result(await lab.create_one("work"))

    lost = [entry for entry in logs if entry["event"] == "worker.window_lost"]
    assert len(lost) == 1, "an outage is one line"
    assert any(entry["event"] == "worker.window_back" for entry in logs)


async def test_something_else_stands_where_the_window_should(lab: Lab, redis: Redis) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    key = keys.ready(FLOW)[0]
    await redis.set(key, "not a list")
    with capture_logs() as logs:
        async with lab.worker() as worker:

            async def lost() -> bool:
                return any(entry["event"] == "worker.window_lost" for entry in logs)

            await eventually(lost, bool, what="the worker noticing")
            await redis.delete(key)  # as the dispatcher does when it finds it
            await lab.result(await lab.create_one("work"))
            assert worker.is_alive


async def test_a_worker_may_start_before_postgresql_does(
    lab: Lab, postgres: EmbeddedPostgres
) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    task = await lab.create_one("work")
    postgres.stop()
    starting = lab.worker()
    entering = asyncio.create_task(starting.__aenter__())
    try:
        done, _ = await asyncio.wait({entering}, timeout=1)
        assert not done, "it waits"
    finally:
        postgres.start()
    await entering
    await lab.result(task)
    await starting.__aexit__(None, None, None)


async def test_the_schema_is_missing_for_a_while(lab: Lab) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    with capture_logs() as logs:
        async with lab.worker() as worker:
            task = await lab.create_one("work")
            await lab.result(task)
            await lab.link.fetch("alter table tasks rename to hidden")
            await lab.publish(task)

            async def complained() -> bool:
                return any(entry["event"] == "worker.loop_failed" for entry in logs)

            await eventually(complained, bool, what="a complaint")
            await lab.link.fetch("alter table hidden rename to tasks")
            await lab.result(await lab.create_one("work"), within_s=20)
            assert worker.is_alive


async def test_stopping_does_not_wait_for_servers_that_are_away(
    lab: Lab, postgres: EmbeddedPostgres
) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    worker = None
    try:
        async with asyncio.timeout(10), lab.worker() as worker:
            await lab.result(await lab.create_one("work"))
            postgres.stop()
    finally:
        postgres.start()

    assert worker is not None
    assert worker.is_clean, "nothing was lost: it held nothing"


async def test_stopping_does_not_wait_for_a_postgresql_that_says_nothing(
    lab: Lab, postgres: EmbeddedPostgres
) -> None:
    @lab.broker.handler("work")
    async def work() -> None: ...

    assert postgres.process is not None
    frozen: list[psutil.Process] = []
    try:
        async with asyncio.timeout(9), lab.worker():
            await lab.result(await lab.create_one("work"))
            frozen = psutil.Process(postgres.process.pid).children(recursive=True)
            for process in frozen:
                process.suspend()
    finally:
        for process in frozen:
            process.resume()
