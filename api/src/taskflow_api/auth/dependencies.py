"""Who may call, as types in an endpoint's signature."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from taskflow_api.auth.clients import Client, client_of
from taskflow_api.auth.permissions import PERMISSIONS, Permission
from taskflow_api.resources import Resources, ResourcesDep
from taskflow_core.errors import Forbidden, Unauthenticated
from taskflow_core.models.users import Role

_bearer = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="The `access_token` of a login."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """A person with a live session."""

    user_id: UUID
    role: Role
    session_id: UUID

    def may(self, permission: Permission) -> bool:
        """Tell whether the role has a permission."""
        return permission in PERMISSIONS[self.role]


async def caller_of(resources: Resources, token: str | None) -> Caller:
    """Return who shows this access token. Raises `Unauthenticated`."""
    if token is None:
        raise Unauthenticated("Send an access token: Authorization: Bearer …")
    claims = resources.tokens.verify(token)
    role = await resources.liveness.role_of(claims.session_id, claims.user_id)
    if role is None:
        raise Unauthenticated("This session is over: log in again.")
    return Caller(claims.user_id, role, claims.session_id)


async def _caller(
    resources: ResourcesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    return await caller_of(resources, credentials.credentials if credentials else None)


CallerDep = Annotated[Caller, Depends(_caller)]


def require(permission: Permission) -> Callable[[Caller], Awaitable[Caller]]:
    """Return a dependency on a caller whose role has `permission`. It raises `Forbidden`."""

    async def permitted(caller: CallerDep) -> Caller:
        if not caller.may(permission):
            raise Forbidden(f"It takes the permission {permission}.")
        return caller

    return permitted


async def _client(request: Request, resources: ResourcesDep) -> Client:
    return client_of(request, resources.settings.http.trusted_proxies)


ClientDep = Annotated[Client, Depends(_client)]
