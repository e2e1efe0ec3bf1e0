"""Routers whose JSON bodies are read strictly: what is not exactly JSON never reaches a model."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, override

import msgspec
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from taskflow_api.problems import UnsupportedMediaType
from taskflow_core.errors import FieldError, Malformed, ValidationFailed

PREFIX = "/api/v1"

type Handler = Callable[[Request], Coroutine[Any, Any, Response]]
type Endpoint[**P] = Callable[P, Coroutine[Any, Any, Response]]
type Arguments = Callable[[Request], Awaitable[dict[str, Any] | None]]

_SHORTCUT = "taskflow_shortcut"
# no route has half as many; an error for each of 90,000 unknown ones takes more than a second
_MAX_FIELDS = 100


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
            if isinstance(self._json, dict) and len(self._json) > _MAX_FIELDS:
                raise ValidationFailed(
                    errors=[FieldError("", f"must have at most {_MAX_FIELDS} fields")]
                )


class StrictRoute(APIRoute):
    """A route that reads its JSON body by `StrictRequest`, and takes its endpoint's shortcut."""

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        if (find := getattr(self.endpoint, _SHORTCUT, None)) is not None:
            handle = _with_shortcut(self.endpoint, find, handle)
        if self.body_field is None:
            return handle

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            await strict.read()
            return await handle(strict)

        return strictly


def shortcut[**P](find: Arguments) -> Callable[[Endpoint[P]], Endpoint[P]]:
    """Let a hot endpoint get its arguments from `find` instead of from the framework's solver.

    The solver takes longer than everything else in a hot request. `find` returns the endpoint's
    arguments for an ordinary request, and None for any that it is not sure about: the solver decides
    about that one, so that there is one place that refuses. The route stays declared by its signature.
    """

    def mark(endpoint: Endpoint[P]) -> Endpoint[P]:
        setattr(endpoint, _SHORTCUT, find)
        return endpoint

    return mark


def _with_shortcut(endpoint: Callable[..., Any], find: Arguments, handle: Handler) -> Handler:
    async def shortly(request: Request) -> Response:
        arguments = await find(request)
        if arguments is None:
            return await handle(request)
        response: Response = await endpoint(**arguments)
        return response

    return shortly


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
