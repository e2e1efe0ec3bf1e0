"""`/metrics` and `/livez` on a port of their own: a few lines of HTTP/1.1, no framework.

It answers GET and HEAD, closes after each answer, and believes nothing: a request's head is bounded
in size and in time. A probe of liveness asks the process only, never its dependencies: a database
that is away must not restart the fleet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from taskflow_core.process import refuse

_HEAD_BYTES = 8_192
_HEAD_S = 5.0
_TEXT = "text/plain; charset=utf-8"

type _Answer = tuple[str, str, bytes]  # status line, content type, body


@asynccontextmanager
async def serve_telemetry(
    port: int | None,
    registry: CollectorRegistry,
    alive: Callable[[], bool],
    *,
    host: str = "127.0.0.1",
) -> AsyncIterator[int | None]:
    """Serve for the length of the block; yields the port (0 takes a free one, None serves nothing).

    `alive` decides between 200 and 503 at `/livez`. A port that cannot be had is a wrong setting: one
    sentence, and exit code 2.
    """
    if port is None:
        yield None
        return
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (task := asyncio.current_task()) is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        await _converse(reader, writer, registry, alive)

    try:
        server = await asyncio.start_server(connected, host, port, limit=_HEAD_BYTES)
    except OSError as error:
        refuse(f"TASKFLOW_METRICS_PORT: port {port} of {host} cannot be used: {error.strerror}.")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    registry: CollectorRegistry,
    alive: Callable[[], bool],
) -> None:
    try:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
            status, content_type, body = _answer(head.decode("latin-1"), registry, alive)
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("latin-1")
            )
            if not head.startswith(b"HEAD "):
                writer.write(body)
            await writer.drain()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # too slow, too long or gone: whoever it was gets no answer
    finally:
        writer.close()


def _answer(head: str, registry: CollectorRegistry, alive: Callable[[], bool]) -> _Answer:
    request, *fields = head.split("\r\n")
    method, _, rest = request.partition(" ")
    path = rest.partition(" ")[0].partition("?")[0]
    if method not in {"GET", "HEAD"}:
        return "405 Method Not Allowed\r\nAllow: GET, HEAD", _TEXT, b"only GET and HEAD\n"
    if path == "/livez":
        return ("200 OK", _TEXT, b"ok\n") if alive() else ("503 Not Alive", _TEXT, b"stuck\n")
    if path == "/metrics":
        encode, content_type = choose_encoder(_field(fields, "accept"))
        return "200 OK", content_type, encode(registry)
    return "404 Not Found", _TEXT, b"here are /metrics and /livez\n"


def _field(fields: list[str], name: str) -> str:
    for field in fields:
        key, _, value = field.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""
