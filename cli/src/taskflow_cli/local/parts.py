"""The parts of a local TaskFlow: how each is started, and how one sees that it does its work."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
from redis.asyncio import Redis

from taskflow_cli.local.children import spawn
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_cli.local.supervisor import Part, Stage
from taskflow_core.queue.signals import read_flow

FLOW = "default"
_CLOCK_SLACK_S = 1.0  # between our note of a start and the worker's own
# Someone who presses Ctrl-C at a desk does not wait for half a minute. What is cut off here runs
# again after the next start.
_LOCAL_DEFAULTS = {"TASKFLOW_GRACE_S": "5", "TASKFLOW_DRAIN_S": "5", "TASKFLOW_LOG": "json"}
_NOT_PASSED_ON = (
    "TASKFLOW_METRICS_PORT",  # several processes here would fight for one port
    "PYTHONDONTWRITEBYTECODE",  # doubles the time of every start
)


@dataclass(frozen=True)
class Backends:
    """The servers that all parts use, and the keys of the API."""

    database_url: str
    redis_url: str
    jwt_keys: str

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a part."""
        inherited = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}
        return {
            **_LOCAL_DEFAULTS,
            **inherited,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "TASKFLOW_JWT_KEYS": self.jwt_keys,
            # a folder named like a module of the standard library must not shadow it
            "PYTHONSAFEPATH": "1",
            **more,
        }


def server(instance: EmbeddedPostgres | EmbeddedValkey, *, name: str) -> Part:
    """Run an embedded server."""

    async def ready(_started_at: float) -> bool:
        return await asyncio.to_thread(instance.answers)

    return Part(
        name=name,
        stage=Stage.SERVER,
        spawn=instance.spawn,
        ready=ready,
        log=instance.log,
        stop_signal=instance.stop_signal,
        stop_s=15.0,
    )


def api(data: DataDirectory, backends: Backends, url: str, port: int) -> Part:
    """Run the API; it is ready when it says so itself."""

    async def ready(_started_at: float) -> bool:
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            return (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK

    environment = backends.environment(TASKFLOW_PORT=str(port))
    return _python(data, "api", Stage.API, "taskflow_api", environment, ready)


def dispatcher(data: DataDirectory, backends: Backends, replica: str) -> Part:
    """Run a dispatcher; it is ready when the lease was taken or renewed since it was started."""
    seen_before: dict[float, object] = {}

    async def ready(started_at: float) -> bool:
        async with await psycopg.AsyncConnection.connect(backends.database_url) as connection:
            cursor = await connection.execute(
                "select expires_at, expires_at > now() from leases where name = 'dispatcher'"
            )
            row = await cursor.fetchone() or (None, False)
        before = seen_before.setdefault(started_at, row[0])
        return bool(row[1]) and row[0] != before

    environment = backends.environment(TASKFLOW_REPLICA=replica)
    module = "taskflow_worker.dispatcher"
    return _python(data, "dispatcher", Stage.DISPATCHER, module, environment, ready)


def worker(
    data: DataDirectory, backends: Backends, redis: Redis, *, name: str, replica: str
) -> Part:
    """Run a worker; it is ready when its first heartbeat is there."""

    async def ready(started_at: float) -> bool:
        beats = (await read_flow(redis, FLOW)).workers
        return any(
            beat.replica == replica and beat.started_at >= started_at - _CLOCK_SLACK_S
            for beat in beats
        )

    environment = backends.environment(TASKFLOW_FLOW=FLOW, TASKFLOW_REPLICA=replica)
    return _python(data, name, Stage.WORKER, "taskflow_worker", environment, ready)


def _python(
    data: DataDirectory,
    name: str,
    stage: Stage,
    module: str,
    environment: Mapping[str, str],
    ready: Callable[[float], Awaitable[bool]],
) -> Part:
    log: Path = data.log(name)

    def start() -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-m", module], log=log, env=environment)

    grace_s = max(
        float(environment.get("TASKFLOW_GRACE_S", "0")),
        float(environment.get("TASKFLOW_DRAIN_S", "0")),
    )
    return Part(
        name=name,
        stage=stage,
        spawn=start,
        ready=ready,
        log=log,
        stop_signal=signal.SIGTERM,
        stop_s=grace_s + 10.0,
    )
