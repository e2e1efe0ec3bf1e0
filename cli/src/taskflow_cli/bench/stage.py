"""Servers and one worker of their own for a measurement, in a directory that goes afterwards."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from taskflow_cli.bench.cores import Cores, pin
from taskflow_cli.errors import CommandError
from taskflow_cli.local.children import spawn, tail
from taskflow_cli.local.schema import DATABASE, create_database
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_core import migrations

type Connection = psycopg.Connection[tuple[object, ...]]

_READY_S = 60.0
_STOP_S = 40.0  # longer than a worker's grace
# commit times are what "commit → start" is measured from; nothing else differs from `taskflow up`
POSTGRES_SETTINGS = {"track_commit_timestamp": "on"}


@dataclass(frozen=True)
class Stage:
    """Running servers, and how to run our own processes on them."""

    folder: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    cores: Cores

    @property
    def database_url(self) -> str:
        """The database's URL."""
        return self.postgres.url(DATABASE)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of our processes: nothing of the shell's settings."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith("TASKFLOW_")}
        return ours | {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.valkey.url,
            "PYTHONSAFEPATH": "1",
            "TASKFLOW_LOG": "json",
            **more,
        }

    @contextlib.contextmanager
    def process(
        self, module: str, cores: frozenset[int], **variables: str
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run one of our modules for the length of the block."""
        log = self.folder / f"{module.rpartition('.')[2]}.log"
        process = spawn([sys.executable, "-m", module], log=log, env=self.environment(variables))
        try:
            pin(process.pid, cores)
            yield process
            if process.poll() is not None:
                raise CommandError(f"{module} ended by itself:\n{tail(log)}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for(self, sql: str, what: str) -> None:
        """Poll until a query returns a row. Raises `CommandError`."""
        deadline = time.monotonic() + _READY_S
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            while connection.execute(sql.encode()).fetchone() is None:
                if time.monotonic() > deadline:
                    raise CommandError(f"{what} was not there within {_READY_S:.0f} s.")
                time.sleep(0.05)


@contextlib.contextmanager
def stage(cores: Cores) -> Iterator[Stage]:
    """Start servers of our own, migrated and empty."""
    with tempfile.TemporaryDirectory(prefix="taskflow-bench-") as name:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "postgres", settings=POSTGRES_SETTINGS)
        valkey = EmbeddedValkey(folder / "valkey")
        with postgres, valkey:
            for server in (postgres, valkey):
                if server.process is not None:
                    pin(server.process.pid, cores.servers)
            create_database(postgres.url())
            migrations.upgrade(postgres.url(DATABASE))
            yield Stage(folder, postgres, valkey, cores)
