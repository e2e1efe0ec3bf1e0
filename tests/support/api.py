"""The API in this process, on a real database and Valkey, driven by httpx."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send

from taskflow_api.app import create_app
from taskflow_api.resources import Drain, Resources
from taskflow_api.settings import ApiSettings
from taskflow_core.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    LogSettings,
    RedisSettings,
    SigningKey,
)

PASSWORD = "correct horse battery"
_numbers = count()


def key(kid: str = "test") -> SigningKey:
    """Make a signing key."""
    return SigningKey(kid=kid, secret=SecretStr(secrets.token_urlsafe(32)))


def auth_settings(**given: Any) -> AuthSettings:
    """Return settings whose passwords hash in a millisecond."""
    fields: dict[str, Any] = {"TASKFLOW_JWT_KEYS": (key(),), "TASKFLOW_BCRYPT_COST": 4} | given
    return AuthSettings(**fields)


def api_settings(
    database: DatabaseSettings,
    redis: RedisSettings,
    *,
    auth: AuthSettings | None = None,
    http: HttpSettings | None = None,
) -> ApiSettings:
    """Gather settings for an application under test."""
    return ApiSettings(
        database, redis, auth or auth_settings(), http or HttpSettings(), LogSettings()
    )


@dataclass
class Person:
    """Somebody who is logged in."""

    api: "Api"
    tokens: dict[str, Any]

    @property
    def id(self) -> str:
        id_: str = self.tokens["user"]["id"]
        return id_

    @property
    def email(self) -> str:
        email: str = self.tokens["user"]["email"]
        return email

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens['access_token']}"}

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send a request as this person; `path` below /api/v1."""
        headers = self.headers | more.pop("headers", {})
        if body is not None:
            more["json"] = body
        return await self.api.client.request(method, f"/api/v1{path}", headers=headers, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.call("POST", path, body, **more)

    async def patch(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.call("PATCH", path, body, **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        return await self.call("DELETE", path, **more)


@dataclass
class Api:
    """A started application."""

    app: FastAPI
    client: httpx.AsyncClient
    resources: Resources
    drain: Drain = field(default_factory=Drain)

    async def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        """Send a request as nobody; `path` below /api/v1."""
        return await self.client.post(f"/api/v1{path}", json=body, **more)

    async def register(self, **given: Any) -> Person:
        """Register somebody new."""
        body = {
            "email": f"person{next(_numbers)}@example.com",
            "name": "Ada",
            "password": PASSWORD,
        } | given
        answer = await self.post("/auth/register", body)
        assert answer.status_code == 201, answer.text
        return Person(self, answer.json())

    async def register_as(self, role: str) -> Person:
        """Register somebody with a role."""
        person = await self.register()
        await self.resources.database.fetch(
            "update users set role = $1 where id = $2::text::uuid", role, person.id
        )
        return person

    @classmethod
    @asynccontextmanager
    async def started(cls, settings: ApiSettings) -> AsyncIterator[Self]:
        """Start an application for the length of the block."""
        drain = Drain()
        app = create_app(settings, drain)
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": dict(state or {})}, receive, send)

            transport = httpx.ASGITransport(with_state, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield cls(app, client, (state or {})["resources"], drain)


def problem_of(answer: httpx.Response, status: int, type_: str | None = None) -> dict[str, Any]:
    """Assert that an answer is a problem with this status (and type); return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    if type_ is not None:
        assert problem["type"].endswith("/" + type_), problem
    return problem


def pointers(answer: httpx.Response) -> set[str]:
    """Return which fields a validation problem names."""
    return {error["pointer"] for error in problem_of(answer, 422)["errors"]}
