"""What may be done to accounts, and by whom."""

from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_api.auth import queries as auth_queries
from taskflow_api.auth import service as accounts
from taskflow_api.auth.clients import Client
from taskflow_api.auth.dependencies import Caller
from taskflow_api.auth.schemas import ProfilePatch, UserRead
from taskflow_api.resources import Resources
from taskflow_api.schemas import Meta
from taskflow_api.users import queries
from taskflow_api.users.errors import LastAdmin, UserNotFound
from taskflow_api.users.schemas import UserFilters, UserPage, UserPatch
from taskflow_core.errors import Forbidden
from taskflow_core.models import Role, User
from taskflow_core.models.sessions import SecurityEventType


async def list_users(resources: Resources, filters: UserFilters) -> UserPage:
    """Return a page of people. Raises `CursorRefused`."""
    asked = ["users", filters.model_dump(mode="json", exclude={"cursor", "limit"})]
    after = None
    if filters.cursor is not None:
        (after,) = resources.cursors.read(filters.cursor, tuple[UUID], filters=asked)
    async with resources.database.session() as db:
        found = await queries.page(db, filters, after)
    shown = found[: filters.limit]
    more = len(found) > filters.limit
    cursor = resources.cursors.write([shown[-1].id], filters=asked) if more else None
    return UserPage(
        data=[UserRead.model_validate(user) for user in shown],
        meta=Meta(limit=filters.limit, next_cursor=cursor),
    )


async def get_user(resources: Resources, caller: Caller, user_id: UUID) -> User:
    """Return one account. Raises `UserNotFound` for others' accounts too."""
    async with resources.database.session() as db:
        return await _visible(db, caller, user_id)


async def patch_user(
    resources: Resources, caller: Caller, user_id: UUID, patch: UserPatch, client: Client
) -> User:
    """Change an account. Raises `UserNotFound`, `EmailTaken`, `Forbidden`, `LastAdmin`."""
    async with resources.database.session() as db:
        if patch.active is not None and not caller.may("users:manage"):
            await _visible(db, caller, user_id)
            raise Forbidden("Only an administrator may change `active`.")
        if patch.active is False:
            await queries.lock_admins(db)
        user = await _visible(db, caller, user_id, lock=True)
        profile = ProfilePatch(**patch.model_dump(include={"email", "name"}))
        changed = await accounts.change_profile(db, user, profile)
        if patch.active is not None and patch.active != user.active:
            await _set_active(db, user, active=patch.active)
            changed.append("active")
        if changed:
            _audit(
                resources, db, SecurityEventType.USER_CHANGED, user, caller, client, fields=changed
            )
    resources.liveness.forget()
    return user


async def change_role(
    resources: Resources, caller: Caller, user_id: UUID, role: Role, client: Client
) -> User:
    """Change a role. Raises `UserNotFound`, `LastAdmin`."""
    async with resources.database.session() as db:
        await queries.lock_admins(db)
        user = await _visible(db, caller, user_id, lock=True)
        if user.role != role:
            if user.role == Role.ADMIN:
                await _not_the_last_admin(db, user)
            before, user.role = user.role, role
            user.version += 1
            user.updated_at = await auth_queries.now(db)
            db.add(user)
            change = {"from": str(before), "to": str(role)}
            _audit(resources, db, SecurityEventType.ROLE_CHANGED, user, caller, client, **change)
    resources.liveness.forget()
    return user


async def delete_user(resources: Resources, caller: Caller, user_id: UUID, client: Client) -> None:
    """Delete an account; its tasks stay. Raises `UserNotFound`, `LastAdmin`."""
    async with resources.database.session() as db:
        await queries.lock_admins(db)
        user = await _visible(db, caller, user_id, lock=True)
        await _not_the_last_admin(db, user)
        at = await auth_queries.now(db)
        user.email, user.name, user.password_hash = None, "(deleted)", None
        user.active, user.deleted_at, user.updated_at = False, at, at
        user.version += 1
        db.add(user)
        await auth_queries.revoke_sessions(db, user.id, "user deleted")
        _audit(resources, db, SecurityEventType.USER_DELETED, user, caller, client)
    resources.liveness.forget()


async def _visible(db: AsyncSession, caller: Caller, user_id: UUID, *, lock: bool = False) -> User:
    """Return an account that is the caller's own, or anybody's for an administrator."""
    if user_id != caller.user_id and not caller.may("users:manage"):
        raise UserNotFound
    user = await auth_queries.user_by_id(db, user_id, lock=lock)
    if user is None:
        raise UserNotFound
    return user


async def _set_active(db: AsyncSession, user: User, *, active: bool) -> None:
    if not active:
        await _not_the_last_admin(db, user)
        await auth_queries.revoke_sessions(db, user.id, "user deactivated")
    user.active = active
    user.version += 1
    user.updated_at = await auth_queries.now(db)
    db.add(user)


async def _not_the_last_admin(db: AsyncSession, user: User) -> None:
    is_one = user.role == Role.ADMIN and user.active
    if is_one and not await queries.other_active_admins(db, user.id):
        raise LastAdmin


def _audit(
    resources: Resources,
    db: AsyncSession,
    event: SecurityEventType,
    user: User,
    caller: Caller,
    client: Client,
    **data: object,
) -> None:
    auth_queries.audit(
        db,
        event,
        user_id=user.id,
        actor_id=caller.user_id,
        client=client,
        keyring=resources.keyring,
        data=data or None,
    )
