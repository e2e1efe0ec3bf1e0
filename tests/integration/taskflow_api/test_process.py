"""The API as a process: bad settings, absent dependencies, and how it leaves."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.api import key
from tests.support.waiting import eventually

_LISTENING = re.compile(rb'"url": "(http://127\.0\.0\.1:\d+)"')


def environment(**given: str) -> dict[str, str]:
    signing = key()
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "TASKFLOW_JWT_KEYS": f"{signing.kid}:{signing.secret.get_secret_value()}",
        "TASKFLOW_BCRYPT_COST": "4",
        "TASKFLOW_PORT": "0",
        "TASKFLOW_LOG": "json",
    } | given


@contextmanager
def process(log: Path, **given: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-m", "taskflow_api"], stderr=stderr, env=environment(**given)
        )
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def written(log: Path) -> bytes:
    return log.read_bytes()


async def url_of(log: Path) -> str:
    async def look() -> re.Match[bytes] | None:
        return _LISTENING.search(written(log))

    found = await eventually(look, bool, within_s=20, what="the log line that names the port")
    assert found is not None
    return found[1].decode()


async def left(process: subprocess.Popen[bytes], within_s: float) -> int:
    return await asyncio.to_thread(process.wait, within_s)


def test_each_bad_variable_is_one_sentence_without_its_value() -> None:
    secret = "c2VjcmV0" * 2
    done = subprocess.run(
        [sys.executable, "-m", "taskflow_api"],
        env=environment(
            DATABASE_URL="mysql://root:hunter2@db/x",
            TASKFLOW_JWT_KEYS=f"a:{secret}",
            TASKFLOW_PORT="http",
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "DATABASE_URL",
        "TASKFLOW_JWT_KEYS",
        "TASKFLOW_PORT",
    ]
    for hidden in ("Traceback", "hunter2", secret):
        assert hidden not in done.stderr


async def test_it_starts_without_its_dependencies_and_says_that_it_is_not_ready(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    with process(log) as started:
        async with httpx.AsyncClient(base_url=await url_of(log), trust_env=False) as client:
            assert (await client.get("/livez")).status_code == 200
            asked = time.monotonic()
            assert (await client.get("/readyz")).status_code == 503
            assert time.monotonic() - asked < 2
            answer = await client.post("/api/v1/auth/login", json={"email": "a", "password": "b"})
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert "server" not in answer.headers
        started.send_signal(signal.SIGTERM)
        assert await left(started, 10) == 0
    assert all(json.loads(line) for line in log.read_text().splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_open_request_is_answered_before_it_leaves(
    tmp_path: Path, database_url: str, redis_url: str, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    with process(log, DATABASE_URL=database_url, REDIS_URL=redis_url) as started:
        url = await url_of(log)
        address = httpx.URL(url)
        body = json.dumps(
            {"email": "ada@example.com", "name": "Ada", "password": "correct horse battery"}
        ).encode()
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            b"POST /api/v1/auth/register HTTP/1.1\r\nHost: test\r\n"
            b"Content-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:10]
        )
        await writer.drain()
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200

            started.send_signal(number)

            async def readiness() -> int:
                return (await client.get("/readyz")).status_code

            await eventually(
                readiness, lambda status: status == 503, within_s=1, what="unreadiness"
            )
        await eventually(_refuses(address), bool, what="a closed port")
        assert started.poll() is None, "it waits for the open request"
        writer.write(body[10:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        writer.close()
        assert await left(started, 10) == 0
    assert b"Traceback" not in log.read_bytes()


async def test_a_request_that_never_ends_holds_it_no_longer_than_allowed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    given = {"TASKFLOW_DRAIN_S": "1", "TASKFLOW_DRAIN_NOTICE_S": "0"}
    with process(log, **given) as started:
        address = httpx.URL(await url_of(log))
        _, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(
            b"POST /api/v1/auth/login HTTP/1.1\r\nHost: test\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        await writer.drain()
        async with httpx.AsyncClient(base_url=str(address), trust_env=False) as client:

            async def in_flight() -> str:
                return (await client.get("/metrics")).text

            # itself and the one that never ends
            await eventually(in_flight, lambda text: "taskflow_http_in_flight 2.0" in text)

        started.send_signal(signal.SIGTERM)

        assert await left(started, 6) == 0
        writer.close()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process(log, TASKFLOW_DRAIN_NOTICE_S="60") as started:
        await url_of(log)
        started.send_signal(signal.SIGTERM)

        async def draining() -> bool:
            return b"api.draining" in written(log)

        await eventually(draining, bool, what="the first signal")
        started.send_signal(signal.SIGTERM)

        assert await left(started, 5) == 0


def _refuses(address: httpx.URL) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        try:
            socket.create_connection((address.host, address.port or 0), timeout=1).close()
        except ConnectionRefusedError:
            return True
        return False

    return look
