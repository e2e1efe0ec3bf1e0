"""Registering, logging in, and looking after one's own account."""

from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_api.auth import queries, sessions
from taskflow_api.auth.clients import Client
from taskflow_api.auth.dependencies import Caller
from taskflow_api.auth.errors import (
    BadCredentials,
    BadRefreshToken,
    EmailTaken,
    WrongPassword,
)
from taskflow_api.auth.schemas import (
    Login,
    PasswordChange,
    ProfilePatch,
    Register,
    SessionRead,
    TokenPair,
)
from taskflow_api.resources import Resources
from taskflow_api.text import as_registered
from taskflow_core.errors import NotFound, Unauthenticated
from taskflow_core.models import User
from taskflow_core.models.sessions import SecurityEventType


async def register(resources: Resources, body: Register, client: Client) -> TokenPair:
    """Create an account and log in. Raises `EmailTaken`."""
    password_hash = await resources.passwords.hash(body.password)
    user = User(email=body.email, name=body.name, password_hash=password_hash)
    async with resources.database.session() as db:
        await save_email(db, user)
        # the server's defaults
        await db.refresh(user)
        _audit(resources, db, SecurityEventType.REGISTERED, user.id, client)
        return await sessions.begin(resources, db, user, client)


async def login(resources: Resources, body: Login, client: Client) -> TokenPair:
    """Log in. Raises `BadCredentials`, after the same time whatever was wrong."""
    async with resources.database.session() as db:
        user = await queries.user_by_email(db, as_registered(body.email))
    # no connection is held while bcrypt runs
    usable = user is not None and user.active and user.deleted_at is None
    stored = user.password_hash if user is not None and usable else None
    matches = await resources.passwords.matches(body.password, stored)
    async with resources.database.session() as db:
        proven = await _still(db, user) if user is not None and matches else None
        if proven is None:
            _audit(resources, db, SecurityEventType.LOGIN_FAILED, user.id if user else None, client)
            pair = None
        else:
            _audit(resources, db, SecurityEventType.LOGGED_IN, proven.id, client)
            pair = await sessions.begin(resources, db, proven, client)
    if pair is None:
        raise BadCredentials
    return pair


async def refresh(resources: Resources, token: str, client: Client) -> TokenPair:
    """Exchange a refresh token. Raises `BadRefreshToken`."""
    async with resources.database.session() as db:
        refreshed = await sessions.refresh(resources, db, token, client)
    if refreshed.pair is None:  # the session's end is committed
        resources.liveness.forget()
        raise BadRefreshToken
    return refreshed.pair


async def logout(resources: Resources, token: str, client: Client) -> None:
    """End the session of a refresh token."""
    async with resources.database.session() as db:
        ended = await sessions.end_by_token(resources, db, token, client)
    if ended:  # else anybody could make us forget, as often as they like
        resources.liveness.forget()


async def logout_everywhere(resources: Resources, caller: Caller, client: Client) -> None:
    """End all sessions of the caller."""
    async with resources.database.session() as db:
        await queries.revoke_sessions(db, caller.user_id, "logged out everywhere")
        _audit(resources, db, SecurityEventType.LOGGED_OUT_EVERYWHERE, caller.user_id, client)
    resources.liveness.forget()


async def me(resources: Resources, caller: Caller) -> User:
    """Return the caller's account."""
    async with resources.database.session() as db:
        return await _self(db, caller)


async def patch_me(
    resources: Resources, caller: Caller, patch: ProfilePatch, client: Client
) -> User:
    """Change the caller's email or name. Raises `EmailTaken`."""
    async with resources.database.session() as db:
        user = await _self(db, caller, lock=True)
        changed = await change_profile(db, user, patch)
        if changed:
            _audit(resources, db, SecurityEventType.USER_CHANGED, user.id, client, fields=changed)
        return user


async def change_password(
    resources: Resources, caller: Caller, body: PasswordChange, client: Client
) -> None:
    """Change the caller's password and end their other sessions. Raises `WrongPassword`."""
    user = await me(resources, caller)
    if not await resources.passwords.matches(body.current_password, user.password_hash):
        async with resources.database.session() as db:
            _audit(
                *(resources, db, SecurityEventType.LOGIN_FAILED, caller.user_id, client),
                at="password change",
            )
        raise WrongPassword
    password_hash = await resources.passwords.hash(body.new_password)
    async with resources.database.session() as db:
        locked = await _self(db, caller, lock=True)
        if locked.password_hash != user.password_hash:  # somebody changed it meanwhile
            raise WrongPassword
        locked.password_hash = password_hash
        await queries.revoke_sessions(db, caller.user_id, "password changed", but=caller.session_id)
        _audit(resources, db, SecurityEventType.PASSWORD_CHANGED, caller.user_id, client)
    resources.liveness.forget()


async def list_sessions(resources: Resources, caller: Caller) -> list[SessionRead]:
    """Return the caller's live sessions."""
    async with resources.database.session() as db:
        found = await queries.live_sessions(db, caller.user_id)
    return [
        SessionRead(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
            user_agent=session.user_agent,
            place=session.ip_hash and session.ip_hash.partition(":")[2][:12],
            current=session.id == caller.session_id,
        )
        for session in found
    ]


async def end_session(
    resources: Resources, caller: Caller, session_id: UUID, client: Client
) -> None:
    """End one of the caller's sessions. Raises `NotFound`."""
    async with resources.database.session() as db:
        ended = await queries.revoke_sessions(
            db, caller.user_id, "ended by its user", only=session_id
        )
        if not ended:
            raise NotFound("You have no live session with this id.")
        _audit(
            *(resources, db, SecurityEventType.SESSION_REVOKED, caller.user_id, client),
            session_id=str(session_id),
        )
    resources.liveness.forget()


async def change_profile(db: AsyncSession, user: User, patch: ProfilePatch) -> list[str]:
    """Apply a patch to a locked row; return the names of what changed. Raises `EmailTaken`."""
    new = {
        name: value
        for name, value in patch.model_dump(exclude_none=True, include={"email", "name"}).items()
        if getattr(user, name) != value
    }
    if new:
        at = await queries.now(db)  # first: a query would write the row before we can catch it
        for name, value in new.items():
            setattr(user, name, value)
        user.version += 1
        user.updated_at = at
        await save_email(db, user)
    return sorted(new)


async def save_email(db: AsyncSession, user: User) -> None:
    """Write a row whose email may be somebody else's. Raises `EmailTaken`."""
    db.add(user)
    try:
        await db.flush()
    except IntegrityError as error:
        if "uq_users_email" not in str(error.orig):
            raise
        raise EmailTaken from None


async def _still(db: AsyncSession, proven: User) -> User | None:
    """Lock the row of somebody who has proven who they are, if it is as it was when they did.

    Hashing takes long: a password changed or an account closed meanwhile must not get a session.
    """
    user = await queries.user_by_id(db, proven.id, lock=True)
    same = user is not None and user.active and user.password_hash == proven.password_hash
    return user if same else None


async def _self(db: AsyncSession, caller: Caller, *, lock: bool = False) -> User:
    user = await queries.user_by_id(db, caller.user_id, lock=lock)
    if user is None:
        raise Unauthenticated("This session is over: log in again.")
    return user


def _audit(
    resources: Resources,
    db: AsyncSession,
    event: SecurityEventType,
    user_id: UUID | None,
    client: Client,
    **data: object,
) -> None:
    queries.audit(
        db,
        event,
        user_id=user_id,
        client=client,
        keyring=resources.keyring,
        data=dict(data) or None,
    )
