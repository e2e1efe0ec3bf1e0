"""A local TaskFlow from its servers to its workers: started in order, kept running, ended in order."""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import psycopg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from taskflow_cli.errors import CommandError
from taskflow_cli.local import parts, schema
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.keys import jwt_keys
from taskflow_cli.local.processes import identify
from taskflow_cli.local.seed import seed
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_cli.local.state import State
from taskflow_cli.local.supervisor import Supervisor
from taskflow_core.redis import connect
from taskflow_core.settings import RedisSettings


@dataclass(frozen=True)
class Options:
    """What `taskflow up` was asked for. URLs are None where we bring the server ourselves."""

    host: str
    port: int
    workers: int
    seed: bool
    database_url: str | None = None
    redis_url: str | None = None
    jwt_keys: str | None = None

    @property
    def seeded(self) -> bool:
        """Whether the public logins are created: unasked only in a database that is ours."""
        return self.seed or self.database_url is None

    @property
    def shared(self) -> bool:
        """Whether processes of other machines may use the same servers."""
        return self.database_url is not None or self.redis_url is not None

    @property
    def api_url(self) -> str:
        """Where the API is reached from this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104
        return f"http://{host}:{self.port}"


class Stack:
    """All of it. `step` is told what is there; `announce` gets a sentence per crash and recovery."""

    def __init__(
        self,
        data: DataDirectory,
        options: Options,
        *,
        step: Callable[[str], None],
        announce: Callable[[str], None],
    ) -> None:
        self._data, self._options, self._step = data, options, step
        self._announce = announce
        self.supervisor = Supervisor(announce=announce, changed=self._write_state)
        me = identify(os.getpid())
        if me is None:
            raise CommandError("This process cannot find itself in /proc; is it mounted?")
        self._state = State(supervisor=me, parts=())
        self.redis: Redis | None = None

    async def start(self) -> None:
        """Start everything, servers first. Raises `PartFailedError` or `CommandError`."""
        options = self._options
        self._update(api_url=options.api_url)
        async with asyncio.TaskGroup() as servers:
            starting_database = servers.create_task(self._start_database())
            starting_redis = servers.create_task(self._start_redis())
        database_url, redis_url = starting_database.result(), starting_redis.result()
        revision = await schema.migrate(database_url)
        self._step(f"schema {revision}")
        keys = options.jwt_keys or jwt_keys(self._data)
        await self._start_processes(parts.Backends(database_url, redis_url, keys))
        self._update(ready=True, seeded=options.seeded)

    async def stop(self) -> None:
        """End everything that was started and forget it."""
        if self.redis is not None:
            await self.redis.aclose()
        await self.supervisor.stop()
        self._data.state.unlink(missing_ok=True)

    async def _start_database(self) -> str:
        """Return the URL of a database that answers."""
        if self._options.database_url is not None:
            version = await _postgres_version(self._options.database_url)
            self._step(f"PostgreSQL {version} (yours)")
            return self._options.database_url
        self._data.rotate("postgres")
        server = EmbeddedPostgres(self._data.postgres, log=self._data.log("postgres"))
        await self.supervisor.start(parts.server(server, name="postgres"))
        others = [str(folder) for folder in server.opened if folder != self._data.root.resolve()]
        if others:
            self._announce(
                f"PostgreSQL does not run as root, so that other users may now pass through (not list)"
                f" {', '.join(others)}: chmod o-x takes that back, or use another --data"
            )
        await asyncio.to_thread(schema.create_database, server.url())
        url = server.url(schema.DATABASE)
        self._update(database_url=url)
        self._step(f"PostgreSQL {await _postgres_version(url)}")
        return url

    async def _start_redis(self) -> str:
        """Return the URL of a Redis or Valkey that answers; `self.redis` is connected to it."""
        url = self._options.redis_url
        if url is None:
            self._data.rotate("valkey")
            server = EmbeddedValkey(self._data.valkey, log=self._data.log("valkey"))
            await self.supervisor.start(parts.server(server, name="valkey"))
            url = server.url
            self._update(redis_url=url)
        self.redis = connect(RedisSettings.model_validate({"REDIS_URL": url}))
        yours = " (yours)" if self._options.redis_url is not None else ""
        self._step(f"{await _redis_version(self.redis)}{yours}")
        return url

    async def _start_processes(self, backends: parts.Backends) -> None:
        async with asyncio.TaskGroup() as starting:
            if self._options.seeded:
                starting.create_task(asyncio.to_thread(seed, backends.database_url))
            starting.create_task(self._start_api(backends))
            starting.create_task(self._start_dispatcher(backends))
            starting.create_task(self._start_workers(backends))

    async def _start_api(self, backends: parts.Backends) -> None:
        self._data.rotate("api")
        options = self._options
        await self.supervisor.start(parts.api(self._data, backends, options.api_url, options.port))
        self._step("API")

    async def _start_dispatcher(self, backends: parts.Backends) -> None:
        self._data.rotate("dispatcher")
        await self.supervisor.start(
            parts.dispatcher(self._data, backends, self._replica("dispatcher"))
        )
        self._step("dispatcher")

    async def _start_workers(self, backends: parts.Backends) -> None:
        async with asyncio.TaskGroup() as starting:
            for number in range(1, self._options.workers + 1):
                name = f"worker-{number}"
                self._data.rotate(name)
                replica = self._replica(name)
                worker = parts.worker(self._data, backends, name=name, replica=replica)
                starting.create_task(self.supervisor.start(worker))
        some = "1 worker" if self._options.workers == 1 else f"{self._options.workers} workers"
        self._step(f"flow {parts.FLOW} ({some})")

    def _replica(self, part: str) -> str:
        """Return the name of a part among all replicas that use the same servers."""
        return f"{socket.gethostname()}-{os.getpid()}-{part}" if self._options.shared else part

    def _update(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        self._write_state()

    def _write_state(self) -> None:
        running = tuple(running.state() for running in self.supervisor.running.values())
        self._state = msgspec.structs.replace(self._state, parts=running)
        self._state.write(self._data.state)


async def _postgres_version(url: str) -> str:
    try:
        connection = await psycopg.AsyncConnection.connect(url, connect_timeout=5)
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        raise CommandError(
            f"PostgreSQL cannot be reached at DATABASE_URL: {reason}. Unset DATABASE_URL to use the"
            " embedded one."
        ) from None
    async with connection:
        row = await (await connection.execute("show server_version")).fetchone()
    return str(row[0]).split()[0] if row else "?"


async def _redis_version(redis: Redis) -> str:
    try:
        info = await redis.info("server")
    except (RedisError, OSError) as error:
        raise CommandError(
            f"Redis cannot be reached at REDIS_URL: {error}. Unset REDIS_URL to use the embedded one."
        ) from None
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"
