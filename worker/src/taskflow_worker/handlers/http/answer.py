"""What is kept of an HTTP answer, and what it means for the task."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import msgspec

from taskflow_worker import Fatal, Retry
from taskflow_worker.payloads import RESULT_MAX_BYTES

_KEPT_HEADERS = ("content-type", "etag", "last-modified", "location", "retry-after", "x-request-id")
_HEADER_MAX = 1_000  # characters of one header that are kept
_LONGEST_RETRY_AFTER_S = 3_600.0
_AGAIN = {408, 425, 429}  # and every 5xx: the same call may succeed later
_SPARE_BYTES = 1_024


def judge(target: str, response: httpx.Response, now: datetime) -> None:
    """Raise `Retry` or `Fatal` unless the answer is a 2xx."""
    status = response.status_code
    said = f"{target} answered {status}"
    if status in _AGAIN or status >= 500:  # noqa: PLR2004 - server errors
        raise Retry(retry_after_s(response.headers.get("retry-after"), now), said)
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        raise Fatal(f"{said}: redirects are not followed; call the final URL")
    if not 200 <= status < 300:  # noqa: PLR2004 - success
        raise Fatal(said)


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Read `Retry-After` (RFC 9110 §10.2.3), at most an hour; None: absent or unreadable."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds()
    return min(max(wait_s, 0.0), _LONGEST_RETRY_AFTER_S)


async def read(response: httpx.Response, max_bytes: int) -> tuple[bytes, bool]:
    """Read a body up to `max_bytes`, as it came; tell whether it was longer."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False


def result(response: httpx.Response, body: bytes, *, truncated: bool) -> dict[str, Any]:
    """Return what is kept: status, some headers, the body as JSON if it is JSON, else as text."""
    kept: dict[str, Any] = {
        "status": response.status_code,
        "headers": {
            name: _storable(response.headers[name])[:_HEADER_MAX]
            for name in _KEPT_HEADERS
            if name in response.headers
        },
        "body": _body(response, body, truncated=truncated),
        "truncated": truncated,
    }
    while len(msgspec.json.encode(kept)) > RESULT_MAX_BYTES - _SPARE_BYTES:
        # escapes make JSON up to six times as long as the bytes that were read
        text = kept["body"] if isinstance(kept["body"], str) else _text(response, body)
        kept |= {"body": text[: len(text) // 2], "truncated": True}
    return kept


def _body(response: httpx.Response, body: bytes, *, truncated: bool) -> object:
    if response.headers.get("content-encoding", "identity") != "identity":
        return None  # it was asked for without, and what a few bytes unfold to has no bound
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if is_json and not truncated and b"\\u0000" not in body:
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            pass
    return _text(response, body)


def _text(response: httpx.Response, body: bytes) -> str:
    try:
        text = body.decode(response.charset_encoding or "utf-8", "replace")
    except LookupError:
        text = body.decode("utf-8", "replace")
    return _storable(text)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
