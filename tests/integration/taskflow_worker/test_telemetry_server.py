"""The metrics port, as scrapers, probes and others see it."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from taskflow_worker.telemetry_server import serve_telemetry


class Process:
    alive = True


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def port(process: Process) -> AsyncIterator[int]:
    registry = CollectorRegistry()
    Counter("taskflow_trials", "Trials.", registry=registry).inc(3)
    async with serve_telemetry(0, registry, lambda: process.alive) as port:
        assert port is not None
        yield port


async def ask(port: int, method: str, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        return await client.request(method, path, headers=headers)


async def raw(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_metrics_are_served_as_text(port: int) -> None:
    answer = await ask(port, "GET", "/metrics?x=1")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "taskflow_trials_total 3.0" in answer.text


async def test_metrics_are_served_as_openmetrics_to_who_asks(port: int) -> None:
    answer = await ask(port, "GET", "/metrics", accept="application/openmetrics-text")

    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_liveness_follows_the_process(port: int, process: Process) -> None:
    assert (await ask(port, "GET", "/livez")).status_code == 200
    process.alive = False
    assert (await ask(port, "GET", "/livez")).status_code == 503


async def test_head_has_no_body(port: int) -> None:
    answer = await raw(port, b"HEAD /livez HTTP/1.1\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)]
)
async def test_anything_else_is_refused(port: int, method: str, path: str, status: int) -> None:
    assert (await ask(port, method, path)).status_code == status


@pytest.mark.parametrize(
    "request_", [b"GET /" + b"x" * 20_000 + b"\r\n\r\n", b"\x00\xff\r\n\r\n", b"\r\n\r\n"]
)
async def test_garbage_does_not_stop_the_server(port: int, request_: bytes) -> None:
    assert not (await raw(port, request_)).startswith(b"HTTP/1.1 200")
    assert (await ask(port, "GET", "/livez")).status_code == 200


async def test_a_silent_client_does_not_hold_up_the_end() -> None:
    async with asyncio.timeout(2):
        async with serve_telemetry(0, CollectorRegistry(), lambda: True) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(port or 0, "GET", "/livez")  # by now the silent one has been accepted
        writer.close()


async def test_without_a_port_nothing_is_served() -> None:
    async with serve_telemetry(None, CollectorRegistry(), lambda: True) as port:
        assert port is None


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
async def test_a_port_that_cannot_be_had_is_a_sentence_and_exit_code_2(
    port: int, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        async with serve_telemetry(port, CollectorRegistry(), lambda: True, host=host):
            pass

    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith(f"TASKFLOW_METRICS_PORT: port {port} of {host} cannot be used: ")
