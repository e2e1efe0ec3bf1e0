"""HTTP/1.1 as uvicorn speaks it, with bounds on a request's head, which it has none of.

What cannot be read as a request at all has no scope for the middleware, so it is answered here; with a
problem, like everything else.
"""

import asyncio
import uuid
from typing import cast, override

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from taskflow_core.errors import PROBLEM_MEDIA_TYPE, Malformed, TaskFlowError

HEAD_BYTES = 64 * 1024
HEAD_S = 15.0
_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class HeadTooLarge(TaskFlowError):
    """Request line and headers are over the limit."""

    type = "head-too-large"
    title = "The request line and headers are too large"
    status = 431


class HeadTooSlow(TaskFlowError):
    """Request line and headers did not arrive in time."""

    type = "head-too-slow"
    title = "The request line and headers took too long"
    status = 408


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head beyond `HEAD_BYTES` or `HEAD_S` seconds ends it."""

    _in_head = True
    _head_bytes = 0
    _head_deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        super().connection_made(transport)
        self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._await_head()
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(HeadTooLarge(f"They may have {HEAD_BYTES:,} bytes."))

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_arrived()
        super().on_headers_complete()

    @override
    def on_message_complete(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(Malformed("This is not HTTP/1.1 as RFC 9112 has it."))

    def _await_head(self) -> None:
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_S, self._too_slow)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _too_slow(self) -> None:
        self._head_deadline = None
        self._refuse(HeadTooSlow(f"They may take {HEAD_S:g} seconds."))

    def _refuse(self, error: TaskFlowError) -> None:
        """Answer with a problem, unless another answer is on its way, and close."""
        self._head_arrived()
        if self.transport.is_closing():
            return
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        if cycle is None or cycle.response_complete:
            self.transport.write(_answer(error))
        self.transport.close()


def _answer(error: TaskFlowError) -> bytes:
    request_id = uuid.uuid4().hex
    body = msgspec.json.encode(error.problem(request_id=request_id))
    head = (
        f"HTTP/1.1 {error.status} {_REASONS[error.status]}\r\n"
        f"content-type: {PROBLEM_MEDIA_TYPE}\r\n"
        f"content-length: {len(body)}\r\n"
        f"x-request-id: {request_id}\r\n"
        "x-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
