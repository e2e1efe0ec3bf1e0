"""What the process answers to those who do not speak HTTP properly, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from taskflow_api import protocol
from taskflow_api.protocol import BoundedProtocol
from tests.support.api import Api


@pytest.fixture
async def address(api: Api) -> AsyncIterator[tuple[str, int]]:
    """Where the application is served by the real server."""

    async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
        await api.app({**scope, "state": {"resources": api.resources}}, receive, send)

    config = uvicorn.Config(
        with_state,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()
    server.should_exit = True
    await serving
    listening.close()


async def converse(address: tuple[str, int], sent: bytes) -> tuple[int, dict[str, Any]]:
    """Write, then read to the end; return the answer's status and problem."""
    answer = await asyncio.to_thread(_converse, address, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"zq7marker" not in answer
    return int(head.removeprefix(b"HTTP/1.1 ")[:3]), msgspec.json.decode(body)


def _converse(address: tuple[str, int], sent: bytes) -> bytes:
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(sent)
        answer = b""
        while part := client.recv(65_536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "sent",
    [
        b"zq7marker\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: x\r\nzq7marker\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nzq7\x00marker: 1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"ZQ7MARKER /livez HTTP/1.1\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_problem(address: tuple[str, int], sent: bytes) -> None:
    status, problem = await converse(address, sent)

    assert (status, problem["status"]) == (400, 400)
    assert len(problem["request_id"]) == 32


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 70_000,
        b"GET /livez HTTP/1.1\r\nx-a: " + b"a" * 70_000,
        b"GET /livez HTTP/1.1\r\n" + b"x-a: a\r\n" * 9_000,
    ],
    ids=["a long path", "a long header", "many headers"],
)
async def test_a_head_without_end_is_refused(address: tuple[str, int], sent: bytes) -> None:
    status, problem = await converse(address, sent)

    assert status == 431
    assert problem["type"].endswith("/head-too-large")


async def test_a_head_that_does_not_arrive_is_refused(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.05)

    for begun in (b"", b"GET /livez HTTP/1.1\r\nx-a: "):
        status, problem = await converse(address, begun)
        assert status == 408
        assert problem["type"].endswith("/head-too-slow")


async def test_a_large_body_and_many_requests_are_none_of_its_business(
    address: tuple[str, int],
) -> None:
    host, port = address
    async with httpx.AsyncClient(base_url=f"http://{host}:{port}") as client:
        for _ in range(5):
            answer = await client.post("/api/v1/auth/login", json="x" * 200_000)
            assert answer.status_code == 422
