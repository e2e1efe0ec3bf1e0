"""Routers whose JSON bodies are read strictly: what is not exactly JSON never reaches a model."""

from collections.abc import Callable, Coroutine
from typing import Any, override

import msgspec
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from taskflow_api.problems import UnsupportedMediaType
from taskflow_core.errors import Malformed

PREFIX = "/api/v1"

type Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRequest(Request):
    """A request whose JSON was parsed by msgspec.

    It refuses what Python's own parser lets through: NaN, infinities, lone surrogates, a byte order
    mark. The answer to anything unreadable is a 400 that does not repeat it.
    """

    async def read(self) -> None:
        """Read and parse the body. Raises `Malformed`, `UnsupportedMediaType`, `TooLarge`."""
        body = await self.body()
        if body:
            if not _is_json(self.headers.get("content-type")):
                raise UnsupportedMediaType
            self._json = decode(body)


class StrictRoute(APIRoute):
    """A route that reads its JSON body by `StrictRequest`."""

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            await strict.read()
            return await handle(strict)

        return strictly


def router(prefix: str, tag: str) -> APIRouter:
    """Return a router below `/api/v1`; its routes are strict and named for their functions."""
    return APIRouter(prefix=PREFIX + prefix, tags=[tag], route_class=StrictRoute)


def decode(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON, all of `body`. Raises `Malformed`."""
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise Malformed("The JSON is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Malformed("The body is not valid JSON (RFC 8259) in UTF-8.") from None


def _is_json(content_type: str | None) -> bool:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))
