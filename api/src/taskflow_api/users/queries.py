"""Everything that the administration of people asks of PostgreSQL."""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_api.users.schemas import UserFilters
from taskflow_core.models import Role, User

# one number for "who is an administrator": changes that could remove the last take turns at it
_ADMINS_LOCK = 0x61646D696E73  # "admins"


async def page(db: AsyncSession, filters: UserFilters, after: UUID | None) -> list[User]:
    """Return one person more than the page holds, newest (ids are UUIDv7) first."""
    query = select(User).where(col(User.deleted_at).is_(None))
    if after is not None:
        query = query.where(User.id < after)
    if filters.role is not None:
        query = query.where(User.role == filters.role)
    if filters.active is not None:
        query = query.where(User.active == filters.active)
    if filters.search is not None:
        query = query.where(
            col(User.name).icontains(filters.search, autoescape=True)
            | col(User.email).icontains(filters.search, autoescape=True)
        )
    query = query.order_by(col(User.id).desc()).limit(filters.limit + 1)
    return list((await db.exec(query)).all())


async def lock_admins(db: AsyncSession) -> None:
    """Wait until no other transaction is deciding about administrators."""
    await db.exec(select(sa.func.pg_advisory_xact_lock(_ADMINS_LOCK)))


async def other_active_admins(db: AsyncSession, user_id: UUID) -> int:
    """Count the active administrators besides one person."""
    query = select(sa.func.count()).where(
        User.role == Role.ADMIN,
        col(User.active),
        col(User.deleted_at).is_(None),
        User.id != user_id,
    )
    return (await db.exec(query)).one()
