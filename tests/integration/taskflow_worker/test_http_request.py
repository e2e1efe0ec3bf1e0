"""`http.request` against a server that behaves in every way."""

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from taskiq.decor import AsyncTaskiqDecoratedTask

from taskflow_core.settings import WorkerSettings
from taskflow_worker import Fatal, Retry
from taskflow_worker.broker import broker
from taskflow_worker.handlers import http
from taskflow_worker.handlers.http import request
from taskflow_worker.testing import run

type Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that answers each request as told, and remembers the requests."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self.port = 0
        self.conversations: set[asyncio.Task[None] | None] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.conversations.add(asyncio.current_task())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    head += await reader.readexactly(int(line.split(b":")[1]))
            self.requests.append(head)
            await self._answer(head, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        left = [each for each in server.conversations if each is not None]
        for conversation in left:
            conversation.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def saying(text: str) -> Answer:
    async def answer(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())
        await writer.drain()

    return answer


OK = 'HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 8\n\n{"n": 1}'


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Private addresses are allowed, unless a test forbids them again."""
    settings = WorkerSettings(TASKFLOW_HTTP_ALLOW_PRIVATE=True)
    monkeypatch.setitem(broker.state, "worker_settings", settings)


def call(server: Server, **fields: Any) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{server.port}/path?token=secret"} | fields


async def test_a_call_is_made_as_asked_and_says_which_attempt_it_is() -> None:
    async with serving(saying(OK)) as server:
        result = await run(
            request,
            call(server, method="POST", json={"a": [1]}, headers={"X-Mine": "1"}),
            task_id="T",
            attempt=2,
            traceparent="00-abc-def-01",
        )

    assert result == {
        "status": 200,
        "headers": {"content-type": "application/json"},
        "body": {"n": 1},
        "truncated": False,
    }
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /path?token=secret http/1.1"
    assert json.loads(body) == {"a": [1]}
    assert {
        f"host: 127.0.0.1:{server.port}",
        "content-type: application/json",
        "idempotency-key: t",
        "taskflow-task: t",
        "taskflow-attempt: 2",
        "traceparent: 00-abc-def-01",
        "accept-encoding: identity",
        "x-mine: 1",
    } <= set(lines)


async def test_the_payload_may_have_a_key_of_its_own() -> None:
    async with serving(saying(OK)) as server:
        await run(request, call(server, headers={"Idempotency-Key": "mine"}), task_id="T")

    assert b"idempotency-key: mine\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("status", "raised", "after_s"),
    [
        ("503 Busy\nRetry-After: 30", Retry, 30),
        ("500 Oops", Retry, None),
        ("404 Nothing", Fatal, None),
        ("302 Found\nLocation: http://169.254.169.254/", Fatal, None),
    ],
)
async def test_an_answer_decides_about_the_task(
    status: str, raised: type[Exception], after_s: float | None
) -> None:
    async with serving(saying(f"HTTP/1.1 {status}\nContent-Length: 0\n\n")) as server:
        with pytest.raises(raised, match=f"answered {status[:3]}") as refused:
            await run(request, call(server))

    assert getattr(refused.value, "after_s", None) == after_s
    assert "secret" not in str(refused.value)
    assert len(server.requests) == 1, "no redirect is followed"


async def test_a_server_that_says_nothing_is_tried_again_later() -> None:
    async def silence(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(silence) as server:
        with pytest.raises(Retry, match=r"gave no answer in 0\.2 s"):
            await run(request, call(server, timeout=0.2))


async def test_a_server_that_dribbles_is_cut_off_at_the_timeout() -> None:
    async def dribble(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(dribble) as server:
        with pytest.raises(Retry, match="gave no answer"):
            await run(request, call(server, timeout=0.3))


@pytest.mark.parametrize("said", ["", "nonsense\n\n", "HTTP/1.1 200 OK\nContent-Length: 99\n\nx"])
async def test_a_broken_answer_is_tried_again(said: str) -> None:
    async with serving(saying(said)) as server:
        with pytest.raises(Retry, match="Error"):
            await run(request, call(server))


async def test_nobody_listening_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(Retry, match="ConnectError"):
        await run(request, {"url": f"http://127.0.0.1:{port}/"})


async def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    with pytest.raises(Retry, match="cannot be resolved"):
        await run(request, {"url": "http://no-such-host.invalid/"})


async def test_a_long_body_is_cut_and_an_endless_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def endless(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    settings = WorkerSettings(
        TASKFLOW_HTTP_ALLOW_PRIVATE=True, TASKFLOW_HTTP_MAX_RESPONSE_BYTES=25_000
    )
    monkeypatch.setitem(broker.state, "worker_settings", settings)
    async with serving(endless) as server:
        result = await run(request, call(server))

    assert (len(result["body"]), result["truncated"]) == (25_000, True)


# ---- addresses


async def test_private_addresses_are_not_called_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(broker.state, "worker_settings", WorkerSettings())
    async with serving(saying(OK)) as server:
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.1", "0x7f000001"):
            with pytest.raises(Fatal, match="TASKFLOW_HTTP_ALLOW_PRIVATE"):
                await run(request, {"url": f"http://{host}:{server.port}/"})

    assert server.requests == []


async def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: public when it is checked, private when it is connected to."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []
    real = loop.getaddrinfo

    async def rebinding(host: Any, port: Any, **options: Any) -> Any:
        if host != "rebind.example":
            return await real(host, port, **options)
        asked.append(host)
        address = "192.0.2.1" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    # the documentation network stands for "public" here, so that nobody is really called
    monkeypatch.setattr("taskflow_worker.handlers.http.addresses.is_public", lambda _: True)
    monkeypatch.setitem(broker.state, "worker_settings", WorkerSettings())
    async with serving(saying(OK)) as server:
        with pytest.raises(Retry):
            await run(request, {"url": f"http://rebind.example:{server.port}/", "timeout": 0.3})

    assert asked == ["rebind.example"]
    assert server.requests == []


async def test_the_next_address_is_tried_when_one_cannot_be_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def two(_: str, __: int, *, private: bool) -> list[str]:
        assert private
        return ["127.0.0.2", "127.0.0.1"]

    monkeypatch.setattr(http, "allowed_addresses", two)
    async with serving(saying(OK)) as server:
        result = await run(request, {"url": f"http://two.example:{server.port}/"})

    assert result["status"] == 200
    assert f"host: two.example:{server.port}".encode() in server.requests[0].lower()


# ---- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate and key for `tls.example`."""
    pem = tmp_path / "tls.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=tls.example", "-addext", "subjectAltName=DNS:tls.example"),
            *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")),
        ],
        check=True,
        capture_output=True,
    )
    pem.write_text((tmp_path / "cert").read_text() + (tmp_path / "key").read_text())
    return pem


@pytest.mark.parametrize(("host", "is_trusted"), [("tls.example", True), ("other.example", False)])
async def test_the_certificate_is_checked_against_the_name_although_the_address_is_called(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, host: str, *, is_trusted: bool
) -> None:
    async def here(_: str, __: int, *, private: bool) -> list[str]:
        assert private
        return ["127.0.0.1"]

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    monkeypatch.setattr(http, "allowed_addresses", here)
    monkeypatch.setattr(http, "_trust", lambda: ssl.create_default_context(cafile=certificate))
    async with serving(saying(OK), tls) as server:
        calling = run(request, {"url": f"https://{host}:{server.port}/"})
        if is_trusted:
            assert (await calling)["status"] == 200
        else:
            with pytest.raises(Retry, match="ConnectError"):
                await calling


def test_it_is_a_handler_like_any_other() -> None:
    assert isinstance(request, AsyncTaskiqDecoratedTask)
    assert broker.declarations["http.request"].options.policy.max_attempts == 5
