"""The routes of people's accounts."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, status

from taskflow_api.auth.dependencies import Caller, CallerDep, ClientDep, require
from taskflow_api.auth.errors import EmailTaken
from taskflow_api.auth.schemas import UserRead
from taskflow_api.cursors import CursorRefused
from taskflow_api.documents import problems
from taskflow_api.resources import ResourcesDep
from taskflow_api.routing import router
from taskflow_api.users import service
from taskflow_api.users.errors import LastAdmin, UserNotFound
from taskflow_api.users.schemas import FiltersDep, RoleChange, UserPage, UserPatch
from taskflow_core.errors import Forbidden, Unauthenticated

routes = router("/users", "users")

UserId = Annotated[UUID, Path()]
Manager = Annotated[Caller, Depends(require("users:manage"))]

_OVER = Unauthenticated("This session is over: log in again.")
_ROLE = Forbidden("It takes the permission users:manage.")


@routes.get(
    "",
    dependencies=[Depends(require("users:read"))],
    responses=problems(_OVER, _ROLE, CursorRefused()),
)
async def list_users(filters: FiltersDep, resources: ResourcesDep) -> UserPage:
    """List people, newest first."""
    return await service.list_users(resources, filters)


@routes.get("/{user_id}", responses=problems(_OVER, UserNotFound()))
async def get_user(user_id: UserId, caller: CallerDep, resources: ResourcesDep) -> UserRead:
    """Show an account: one's own, or anybody's for an administrator."""
    return UserRead.model_validate(await service.get_user(resources, caller, user_id))


@routes.patch(
    "/{user_id}", responses=problems(_OVER, _ROLE, UserNotFound(), EmailTaken(), LastAdmin())
)
async def patch_user(
    user_id: UserId,
    body: UserPatch,
    caller: CallerDep,
    resources: ResourcesDep,
    client: ClientDep,
) -> UserRead:
    """Change an account: one's own email and name, or anybody's for an administrator."""
    user = await service.patch_user(resources, caller, user_id, body, client)
    return UserRead.model_validate(user)


@routes.patch("/{user_id}/role", responses=problems(_OVER, _ROLE, UserNotFound(), LastAdmin()))
async def change_role(
    user_id: UserId,
    body: RoleChange,
    caller: Manager,
    resources: ResourcesDep,
    client: ClientDep,
) -> UserRead:
    """Change what somebody may do."""
    user = await service.change_role(resources, caller, user_id, body.role, client)
    return UserRead.model_validate(user)


@routes.delete(
    "/{user_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(_OVER, _ROLE, UserNotFound(), LastAdmin()),
)
async def delete_user(
    user_id: UserId, caller: Manager, resources: ResourcesDep, client: ClientDep
) -> None:
    """Delete an account. Its tasks stay, and its email is free again."""
    await service.delete_user(resources, caller, user_id, client)
