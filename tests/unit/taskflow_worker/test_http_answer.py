"""What is kept of an answer, and what it means."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from taskflow_worker import Fatal, Retry
from taskflow_worker.handlers.http.answer import judge, read, result, retry_after_s
from taskflow_worker.payloads import RESULT_MAX_BYTES

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
JSON = {"content-type": "application/json; charset=utf-8"}


def kept(
    body: bytes, headers: dict[str, str] | None = None, *, truncated: bool = False
) -> dict[str, Any]:
    return result(httpx.Response(200, headers=headers), body, truncated=truncated)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_is_success(status: int) -> None:
    judge("https://a", httpx.Response(status), NOW)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with pytest.raises(Retry, match=f"https://a answered {status}") as again:
        judge("https://a", httpx.Response(status, headers={"retry-after": "7"}), NOW)
    assert again.value.after_s == 7


@pytest.mark.parametrize("status", [301, 302, 304, 307, 400, 401, 403, 404, 410, 422])
def test_what_will_not_pass_is_final(status: int) -> None:
    with pytest.raises(Fatal, match=f"answered {status}"):
        judge("https://a", httpx.Response(status), NOW)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        ("0", 0),
        ("120", 120),
        ("999999999", 3600),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", 3600),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u00b2", None),
        ("", None),
    ],
)
def test_retry_after_is_read_and_bounded(value: str | None, wait_s: float | None) -> None:
    assert retry_after_s(value, NOW) == wait_s


@pytest.mark.parametrize(
    ("body", "headers", "shown"),
    [
        (b'{"a": 1}', JSON, {"a": 1}),
        (b"[1]", {"content-type": "application/problem+json"}, [1]),
        (b"not json", JSON, "not json"),
        (b'{"a": 1}', {"content-type": "text/plain"}, '{"a": 1}'),
        (b'"\\u0000"', JSON, '"\\u0000"'),
        (b"a\0b", {}, "a\ufffdb"),
        (b"caf\xe9", {"content-type": "text/html; charset=latin-1"}, "caf\u00e9"),
        (b"\xff", {"content-type": "text/plain; charset=no-such"}, "\ufffd"),
        (b"\x1f\x8b", {"content-encoding": "gzip"}, None),
        (b"[" * 100_000, JSON, "[" * 100_000),
    ],
)
def test_a_body_is_kept_as_json_if_it_is_json_and_can_be_kept(
    body: bytes, headers: dict[str, str], shown: object
) -> None:
    assert kept(body, headers)["body"] == shown


def test_half_a_json_body_is_text() -> None:
    answer = kept(b'{"a": "bc', JSON, truncated=True)

    assert (answer["body"], answer["truncated"]) == ('{"a": "bc', True)


def test_only_a_few_headers_are_kept_and_bounded() -> None:
    answer = kept(b"", {"set-cookie": "session=secret", "etag": '"1"', "x-request-id": "r" * 5000})

    assert answer["headers"].keys() == {"etag", "x-request-id"}
    assert len(answer["headers"]["x-request-id"]) == 1000


@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"\x01" * RESULT_MAX_BYTES, {}), (json.dumps(["\u00e9"] * 174_000).encode(), JSON)],
)
def test_a_body_whose_json_would_be_too_long_to_keep_is_cut(
    body: bytes, headers: dict[str, str]
) -> None:
    answer = kept(body, headers)

    assert len(json.dumps(answer, ensure_ascii=False).encode()) <= RESULT_MAX_BYTES
    assert answer["truncated"] == (body[:1] == b"\x01")


async def test_a_body_is_read_up_to_a_bound() -> None:
    async def endless() -> Any:
        while True:
            yield b"x" * 1000

    assert await read(httpx.Response(200, content=endless()), 2500) == (b"x" * 2500, True)


async def test_a_body_that_just_fits_is_whole() -> None:
    async def three() -> Any:
        yield b"ab"
        yield b"c"

    assert await read(httpx.Response(200, content=three()), 3) == (b"abc", False)
