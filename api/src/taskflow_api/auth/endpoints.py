"""The routes of logins and of one's own account."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, status

from taskflow_api.auth import service
from taskflow_api.auth.dependencies import CallerDep, ClientDep
from taskflow_api.auth.errors import BadCredentials, BadRefreshToken, EmailTaken, WrongPassword
from taskflow_api.auth.schemas import (
    Login,
    PasswordChange,
    ProfilePatch,
    Refresh,
    Register,
    SessionList,
    TokenPair,
    UserRead,
)
from taskflow_api.documents import problems
from taskflow_api.resources import ResourcesDep
from taskflow_api.routing import router
from taskflow_core.errors import NotFound, Unauthenticated

routes = router("/auth", "auth")

_OVER = Unauthenticated("This session is over: log in again.")


@routes.post("/register", status_code=status.HTTP_201_CREATED, responses=problems(EmailTaken()))
async def register(body: Register, resources: ResourcesDep, client: ClientDep) -> TokenPair:
    """Create an account and log in."""
    return await service.register(resources, body, client)


@routes.post("/login", responses=problems(BadCredentials()))
async def login(body: Login, resources: ResourcesDep, client: ClientDep) -> TokenPair:
    """Log in with email and password."""
    return await service.login(resources, body, client)


@routes.post("/refresh", responses=problems(BadRefreshToken()))
async def refresh(body: Refresh, resources: ResourcesDep, client: ClientDep) -> TokenPair:
    """Exchange a refresh token for a new pair; the old one is used up.

    A used token that comes again ends the whole session, unless the same client repeats its last
    refresh within seconds: then it gets the same pair again.
    """
    return await service.refresh(resources, body.refresh_token, client)


@routes.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def logout(body: Refresh, resources: ResourcesDep, client: ClientDep) -> None:
    """End the session that a refresh token belongs to."""
    await service.logout(resources, body.refresh_token, client)


@routes.post("/logout-all", status_code=status.HTTP_204_NO_CONTENT, responses=problems(_OVER))
async def logout_all(caller: CallerDep, resources: ResourcesDep, client: ClientDep) -> None:
    """End all of one's sessions."""
    await service.logout_everywhere(resources, caller, client)


@routes.get("/me", responses=problems(_OVER))
async def get_me(caller: CallerDep, resources: ResourcesDep) -> UserRead:
    """Show one's own account."""
    return UserRead.model_validate(await service.me(resources, caller))


@routes.patch("/me", responses=problems(_OVER, EmailTaken()))
async def patch_me(
    body: ProfilePatch, caller: CallerDep, resources: ResourcesDep, client: ClientDep
) -> UserRead:
    """Change one's own email or name."""
    return UserRead.model_validate(await service.patch_me(resources, caller, body, client))


@routes.post(
    "/me/password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(_OVER, WrongPassword()),
)
async def change_password(
    body: PasswordChange, caller: CallerDep, resources: ResourcesDep, client: ClientDep
) -> None:
    """Change one's password; all other sessions end."""
    await service.change_password(resources, caller, body, client)


@routes.get("/sessions", responses=problems(_OVER))
async def list_sessions(caller: CallerDep, resources: ResourcesDep) -> SessionList:
    """List one's live sessions."""
    return SessionList(data=await service.list_sessions(resources, caller))


@routes.delete(
    "/sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(_OVER, NotFound("You have no live session with this id.")),
)
async def end_session(
    session_id: Annotated[UUID, Path()],
    caller: CallerDep,
    resources: ResourcesDep,
    client: ClientDep,
) -> None:
    """End one of one's sessions."""
    await service.end_session(resources, caller, session_id, client)
