"""What happens to every request, whatever its route: pure ASGI, so that nothing is buffered or cut.

From the outside in: `Edge` gives the request its id, its headers and its numbers and renders what
nobody else did; `BodyLimit` refuses bodies that are too large before they are held.
"""

import asyncio
import contextlib
import re
import time
import uuid
from collections.abc import Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskflow_api import docs
from taskflow_api.problems import render
from taskflow_api.routing import PREFIX
from taskflow_core.errors import TaskFlowError, TooLarge
from taskflow_core.telemetry.metrics import ApiMetrics

_log = structlog.get_logger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_DRAIN_BYTES = 16 << 20
_DRAIN_S = 5.0
_UNKNOWN_ROUTE = "(none)"

_HEADERS = {
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-resource-policy": "same-origin",
}
_CSP = "default-src 'none'; frame-ancestors 'none'"


class Edge:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        state["trace_id"] = trace_id = _trace_id(scope)
        bound = {"request_id": request_id} | ({"trace_id": trace_id} if trace_id else {})
        started, status = time.perf_counter(), 0

        async def headed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), scope["path"], request_id)
            await send(message)

        self._metrics.in_flight.inc()
        try:
            with structlog.contextvars.bound_contextvars(**bound):
                await self._answer(scope, receive, headed, lambda: status)
        finally:
            self._metrics.in_flight.dec()
            self._count(scope, status, time.perf_counter() - started)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, status: Callable[[], int]
    ) -> None:
        try:
            await self._app(scope, receive, send)
        except TaskFlowError as error:
            if status():
                raise
            await render(error, scope)(scope, receive, send)
        except ClientDisconnect:
            return  # nobody is there to be answered, and nothing of ours has failed
        except Exception:
            _log.exception("api.failed", route=_route(scope), method=scope["method"])
            if status():
                raise
            await render(TaskFlowError(), scope)(scope, receive, send)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = _route(scope), scope["method"]
        if method not in _METHODS:
            method = "OTHER"
        status_class = f"{status // 100}xx" if status else "cut"
        self._metrics.requests.labels(route, method, status_class).inc()
        self._metrics.duration.labels(route, method).observe(seconds)


class BodyLimit:
    """Refuses a body of more than `limit` bytes, declared or not."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A body that grows too large raises `TooLarge` where it is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self._limit:
            await _drain(receive)
            await render(self._too_large(), scope)(scope, receive, send)
            return
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                if message.get("more_body"):
                    await _drain(receive)
                raise self._too_large()
            return message

        await self._app(scope, limited, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A body may have {self._limit:,} bytes.", headers={"Connection": "close"})


async def _drain(receive: Receive) -> None:
    """Read what is left of a body, within bounds.

    A client that writes all before it reads would else see its connection reset, not the answer.
    """
    seen = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while seen < _DRAIN_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def _request_id(scope: Scope) -> str:
    """Return the client's own id if it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _SANE_ID.fullmatch(text):
                return str(text)
    return uuid.uuid4().hex


def _trace_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent" and (match := _TRACEPARENT.fullmatch(value.decode("latin-1"))):
            return match[1]
    return None


def _route(scope: Scope) -> str:
    """Return the route's template: a raw path would make a series of each id."""
    return getattr(scope.get("route"), "path", None) or _UNKNOWN_ROUTE


def _add_headers(headers: MutableHeaders, path: str, request_id: str) -> None:
    headers["x-request-id"] = request_id
    headers["content-security-policy"] = docs.CSP if path == "/docs" else _CSP
    for name, value in _HEADERS.items():
        headers[name] = value
    if path.startswith(f"{PREFIX}/auth/"):
        headers["cache-control"] = "no-store"
    elif "cache-control" not in headers:
        # what one person may see must not be kept for another
        headers["cache-control"] = "private, no-cache"
