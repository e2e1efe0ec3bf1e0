"""The payload of `http.request`."""

import re
from typing import Annotated, Any, Literal, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_URL_MAX = 2_048
_PORT_MAX = 65_535
_HOST = re.compile(r"[0-9A-Za-z._-]{1,253}|[0-9A-Fa-f:.]{2,45}")  # a name, or IPv6
_HEADERS_MAX = 16_384  # characters, names and values together
_LONGEST_S = 300.0
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110 §5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# what belongs to the connection, or would let a payload speak in TaskFlow's name
_RESERVED = re.compile(
    r"(?i)(host|content-length|transfer-encoding|connection|keep-alive|upgrade|te|trailer|expect"
    r"|accept-encoding|proxy-.*|taskflow-.*)"
)


def _callable_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("must be a URL such as https://example.com/path") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("must begin with http:// or https:// and name a host")
    if not _HOST.fullmatch(url.raw_host.decode("ascii")):
        raise ValueError("names a host that cannot be")
    if url.port is not None and not 0 < url.port <= _PORT_MAX:
        raise ValueError("has a port that is not 1 to 65535")
    if url.userinfo:
        raise ValueError("must not contain a user or password; put them in a header")
    return text


def _sendable_headers(headers: dict[str, str]) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in headers.items()) > _HEADERS_MAX:
        raise ValueError(f"must have at most {_HEADERS_MAX:,} characters together")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError("has a name that HTTP does not allow")
        if _RESERVED.fullmatch(name):
            raise ValueError(f"must not set {name.lower()}; the worker does")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"has a value of {name.lower()} that HTTP does not allow")
    return headers


class HttpRequest(BaseModel):
    """A call to make: `timeout` in seconds, for all of it; at most one of `json` and `body`."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=_URL_MAX), AfterValidator(_callable_url)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Annotated[dict[str, str], AfterValidator(_sendable_headers)] = {}
    json_: Any = Field(None, alias="json")
    body: str | None = None
    timeout: float = Field(30.0, gt=0, le=_LONGEST_S, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.has_json:
            raise ValueError("json and body exclude each other; leave one out")
        return self

    @property
    def has_json(self) -> bool:
        """Whether a JSON body is to be sent, be it null."""
        return "json_" in self.model_fields_set

    @property
    def target(self) -> str:
        """What is called, without anything that may be secret: scheme, host and port."""
        url = httpx.URL(self.url)
        return f"{url.scheme}://{url.netloc.decode('ascii')}"
