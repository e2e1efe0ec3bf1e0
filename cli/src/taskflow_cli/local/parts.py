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

from taskflow_cli.local.children import spawn
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_cli.local.supervisor import Part, Stage

FLOW = "default"
# Someone who presses Ctrl-C at a desk does not wait for half a minute. What is cut off here runs
# again after the next start.
_LOCAL_DEFAULTS = {
    "TASKFLOW_GRACE_S": "5",
    "TASKFLOW_DRAIN_S": "5",
    "TASKFLOW_DRAIN_NOTICE_S": "0",  # no load balancer looks
    "TASKFLOW_LOG": "json",
}
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
    lease = "select expires_at from leases where name = 'dispatcher' and expires_at > now()"
    return _python(
        data,
        "dispatcher",
        Stage.DISPATCHER,
        "taskflow_worker.dispatcher",
        backends.environment(TASKFLOW_REPLICA=replica),
        _news(backends.database_url, lease),
    )


def worker(data: DataDirectory, backends: Backends, *, name: str, replica: str) -> Part:
    """Run a worker; it is ready when it has a session, and so can claim."""
    session = (
        "select max(id) from worker_sessions where replica = %s and ended_at is null"
        " having count(*) > 0"
    )
    return _python(
        data,
        name,
        Stage.WORKER,
        "taskflow_worker",
        backends.environment(TASKFLOW_FLOW=FLOW, TASKFLOW_REPLICA=replica),
        _news(backends.database_url, session, replica),
    )


def _news(url: str, sql: str, *parameters: str) -> Callable[[float], Awaitable[bool]]:
    """Tell whether a query gives something else than when the process had just been started.

    What an earlier process wrote and did not live to withdraw says nothing about this one, and no clock
    has to be trusted.
    """
    before: dict[float, object] = {}

    async def ready(started_at: float) -> bool:
        async with await psycopg.AsyncConnection.connect(url, connect_timeout=5) as connection:
            row = await (await connection.execute(sql.encode(), parameters)).fetchone()
        return row != before.setdefault(started_at, row) and row is not None

    return ready


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
