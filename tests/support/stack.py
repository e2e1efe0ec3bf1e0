"""The whole product on this machine, started as a newcomer starts it: `taskflow up --detach`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg

USER = ("user@example.com", "user123")
ADMIN = ("admin@example.com", "admin123")


@dataclass(frozen=True)
class Stack:
    """A running stack: `url` of its API, `state` as `taskflow up` wrote it down."""

    data: Path
    url: str
    state: dict[str, Any]

    @classmethod
    def of(cls, data: Path) -> Self:
        """Read what runs on a data directory."""
        state = json.loads((data / "state.json").read_text())
        return cls(data, state["api_url"], state)

    def database(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect to its PostgreSQL."""
        return psycopg.connect(self.state["database_url"], autocommit=True)

    def pids(self, kind: str) -> dict[str, int]:
        """Return the process ids of the running parts whose names begin with `kind`."""
        parts = json.loads((self.data / "state.json").read_text())["parts"]
        return {part["name"]: part["pid"] for part in parts if part["name"].startswith(kind)}

    def login(self, who: tuple[str, str] = USER) -> httpx.Client:
        """Return a client that is logged in."""
        email, password = who
        answer = httpx.post(
            f"{self.url}/api/v1/auth/login", json={"email": email, "password": password}, timeout=10
        )
        answer.raise_for_status()
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"authorization": f"Bearer {answer.json()['access_token']}"},
            timeout=10,
        )


def taskflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "taskflow_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=os.environ | environment,
    )


@contextmanager
def running(data: Path, *options: str) -> Iterator[Stack]:
    """Start a stack on a free port, and end it."""
    up = taskflow("up", "--detach", "--port", "0", "--data", str(data), *options)
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        yield Stack.of(data)
    finally:
        down = taskflow("down", "--data", str(data))
        assert down.returncode == 0, down.stdout + down.stderr
