"""What `http.request` may be asked to call."""

from typing import Any

import pytest
from pydantic import ValidationError

from taskflow_worker.handlers.http.request import HttpRequest


def payload(**fields: Any) -> HttpRequest:
    return HttpRequest.model_validate({"url": "https://example.com/path"} | fields)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "/path",
        "ftp://example.com",
        "file:///etc/passwd",
        "gopher://example.com",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "https://user:secret@example.com",
        "https://user@example.com",
        "http://exa mple.com",
        "http://example.com:99999",
        "http://[::1",
        "http://example.com/\n",
        "x" * 3000,
    ],
)
def test_only_http_urls_without_credentials_are_called(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        payload(url=url)
    assert [error["loc"] for error in refused.value.errors()] == [("url",)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "internal"},
        {"content-length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Connection": "close"},
        {"Proxy-Authorization": "x"},
        {"TaskFlow-Task": "forged"},
        {"Accept-Encoding": "gzip"},
        {"bad name": "x"},
        {"": "x"},
        {"x": "a\r\nInjected: b"},
        {"x": "\0"},
        {"x": "\u4e2d"},
        {"x": "y" * 20_000},
    ],
)
def test_a_header_that_is_the_connections_or_injects_another_is_refused(
    headers: dict[str, str],
) -> None:
    with pytest.raises(ValidationError):
        payload(headers=headers)


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "TRACE"},
        {"method": "get"},
        {"timeout": 0},
        {"timeout": 301},
        {"timeout": float("nan")},
        {"json": 1, "body": "x"},
        {"json": None, "body": "x"},
        {"cookies": {}},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        payload(**fields)


def test_null_is_a_json_body_and_no_json_is_none() -> None:
    assert payload(json=None).has_json
    assert not payload().has_json
    assert not payload(body="x").has_json


def test_what_is_said_about_a_call_has_no_secret() -> None:
    assert payload(url="https://a.example:8443/x?token=secret").target == "https://a.example:8443"
