"""The Redis client: bounded waits, one more try, quick errors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskflow_cli.local.servers import EmbeddedValkey
from taskflow_core.redis import connect
from taskflow_core.settings import RedisSettings


@asynccontextmanager
async def client_of(
    url: str, *, timeout_s: float = 0.2, blocking_s: float = 0.0
) -> AsyncIterator[Redis]:
    settings = RedisSettings(REDIS_URL=SecretStr(url), TASKFLOW_REDIS_TIMEOUT_S=timeout_s)
    client = connect(settings, blocking_s=blocking_s)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def server(socket: Path, *answers: bytes) -> AsyncIterator[list[int]]:
    """A server that greets each connection with an answer and then says nothing; counts connections."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(len(connections))
        try:
            while data := await reader.read(1_000):
                for answer in answers if b"PING" in data else (b"+OK\r\n" * data.count(b"*"),):
                    writer.write(answer)
        finally:
            writer.close()

    listening = await asyncio.start_unix_server(serve, socket)
    try:
        yield connections
    finally:
        listening.close()


async def test_nothing_is_connected_until_the_first_command(tmp_path: Path) -> None:
    async with client_of(f"unix://{tmp_path}/nobody.sock"):
        pass


async def test_an_absent_server_is_an_error_at_once(tmp_path: Path) -> None:
    async with client_of(f"unix://{tmp_path}/nobody.sock") as client:
        began = time.monotonic()
        with pytest.raises(RedisConnectionError):
            await client.ping()

    assert time.monotonic() - began < 0.5


async def test_a_silent_server_is_an_error_after_the_timeout_and_one_more_try(
    tmp_path: Path,
) -> None:
    async with (
        server(tmp_path / "silent.sock") as connections,
        client_of(f"unix://{tmp_path}/silent.sock", timeout_s=0.2) as client,
    ):
        began = time.monotonic()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        waited = time.monotonic() - began

    assert 0.2 <= waited < 1.5
    assert len(connections) == 2


async def test_a_blocking_client_waits_longer_by_as_much(redis_url: str) -> None:
    async with client_of(redis_url, timeout_s=0.2, blocking_s=0.5) as client:
        began = time.monotonic()
        assert await client.blmpop(0.5, 1, "empty", direction="LEFT") is None

    assert time.monotonic() - began >= 0.45


async def test_a_command_on_a_connection_that_died_is_tried_once_more(redis_url: str) -> None:
    async with client_of(redis_url) as client, client_of(redis_url) as other:
        await client.set("k", "v")
        await other.client_kill_filter(_type="normal", skipme=True)

        assert await client.get("k") == "v"


async def test_a_script_survives_a_server_that_forgot_it(redis: Redis) -> None:
    script = redis.register_script("return ARGV[1]")
    assert await script(args=["a"]) == "a"

    await redis.script_flush()

    assert await script(args=["b"]) == "b"


async def test_text_comes_back_as_text_and_garbage_stops_nobody(redis: Redis) -> None:
    await redis.rpush("k", "é", b"\xff\xfe")

    assert await redis.lrange("k", 0, -1) == ["é", "\ufffd\ufffd"]


async def test_a_wrong_password_is_refused_without_repeating_it(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path / "data") as valkey:
        async with client_of(valkey.url) as administrator:
            await administrator.config_set("requirepass", "right")
        async with client_of(valkey.url.replace("unix://", "unix://:hunter2@")) as client:
            with pytest.raises(RedisConnectionError) as refused:
                await client.ping()

    assert "hunter2" not in str(refused.value)


async def test_many_commands_at_once_share_the_client(redis: Redis) -> None:
    answers = await asyncio.gather(*(redis.incr("n") for _ in range(200)))

    assert sorted(answers) == list(range(1, 201))
