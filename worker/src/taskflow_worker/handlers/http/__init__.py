"""`http.request`: call a URL, and let the answer decide about the task."""

import asyncio
import ssl
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

import httpx
import msgspec
from taskiq import TaskiqDepends, TaskiqState

from taskflow_core.settings import WorkerSettings
from taskflow_worker import Context, Fatal, Retry, handler
from taskflow_worker.handlers.http.addresses import allowed_addresses
from taskflow_worker.handlers.http.answer import judge, read, result
from taskflow_worker.handlers.http.request import HttpRequest

_PORTS = {"http": 80, "https": 443}


def worker_settings(state: Annotated[TaskiqState, TaskiqDepends()]) -> WorkerSettings:
    """Return the settings of the worker that runs the handler."""
    return state.get("worker_settings") or WorkerSettings()


@handler("http.request", retries=4)
async def request(
    payload: HttpRequest,
    ctx: Context,
    settings: Annotated[WorkerSettings, TaskiqDepends(worker_settings)],
) -> dict[str, Any]:
    """Call a URL; return status, some headers and the body.

    2xx completes the task. 5xx, 429, 408, timeouts and broken connections are tried again (not before
    `Retry-After`); anything else fails it. `Idempotency-Key` is the task's id unless the payload has one,
    so that the other side can tell a repetition.
    """
    try:
        async with asyncio.timeout(payload.timeout):
            return await _call(payload, ctx, settings)
    except (TimeoutError, httpx.TimeoutException):
        raise Retry(reason=f"{payload.target} gave no answer in {payload.timeout:g} s") from None
    except httpx.TransportError as error:
        raise Retry(reason=f"{payload.target}: {type(error).__name__}") from None


async def _call(payload: HttpRequest, ctx: Context, settings: WorkerSettings) -> dict[str, Any]:
    url = httpx.URL(payload.url)
    addresses = await _addresses(payload, url, private=settings.http_allow_private)
    # a client for each call: a pool would hand a connection made for one host to another host that has
    # the same address
    async with httpx.AsyncClient(
        verify=_trust(), trust_env=False, follow_redirects=False, timeout=payload.timeout
    ) as client:
        response = await _send(client, payload, ctx, url, addresses)
        try:
            judge(payload.target, response, datetime.now(UTC))
            body, truncated = await read(response, settings.http_max_response_bytes)
        finally:
            await response.aclose()
    return result(response, body, truncated=truncated)


async def _addresses(payload: HttpRequest, url: httpx.URL, *, private: bool) -> list[str]:
    port = url.port or _PORTS[url.scheme]
    try:
        addresses = await allowed_addresses(url.raw_host.decode("ascii"), port, private=private)
    except (OSError, UnicodeError):
        raise Retry(reason=f"{payload.target}: the host's name cannot be resolved") from None
    if not addresses:
        raise Fatal(
            f"{payload.target} is not on the public internet, and http.request calls nothing else;"
            " where it may, set TASKFLOW_HTTP_ALLOW_PRIVATE=true for the workers"
        )
    return addresses


async def _send(
    client: httpx.AsyncClient,
    payload: HttpRequest,
    ctx: Context,
    url: httpx.URL,
    addresses: list[str],
) -> httpx.Response:
    """Send to the first address that can be connected to."""
    headers = _headers(payload, ctx, url)
    content = msgspec.json.encode(payload.json_) if payload.has_json else payload.body
    for address in addresses:
        pinned = client.build_request(
            payload.method,
            url.copy_with(host=address),
            headers=headers,
            content=content,
            # the certificate is checked against the name, although the address is called
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        try:
            return await client.send(pinned, stream=True)
        except httpx.ConnectError:
            if address == addresses[-1]:
                raise
    raise httpx.ConnectError("no address")


def _headers(payload: HttpRequest, ctx: Context, url: httpx.URL) -> httpx.Headers:
    headers = httpx.Headers({"user-agent": "TaskFlow", "idempotency-key": ctx.task_id})
    if ctx.traceparent:
        headers["traceparent"] = ctx.traceparent
    if payload.has_json:
        headers["content-type"] = "application/json"
    headers.update(payload.headers)
    headers.update(
        {
            "host": url.netloc.decode("ascii"),
            "accept-encoding": "identity",
            "taskflow-task": ctx.task_id,
            "taskflow-attempt": str(ctx.attempt),
        }
    )
    return headers


@cache
def _trust() -> ssl.SSLContext:
    """Return what every call trusts; reading the certificates takes 20 ms."""
    return httpx.create_ssl_context()
