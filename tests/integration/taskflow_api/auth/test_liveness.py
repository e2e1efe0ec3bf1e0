"""Whether a session lives: asked once in two seconds, and again after any revocation."""

from uuid import UUID

from taskflow_api.auth.liveness import Liveness
from taskflow_core.models.users import Role
from tests.support.api import Api, Person


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def session_of(api: Api) -> UUID:
    ((session,),) = await api.resources.database.fetch("select id from sessions")
    return UUID(str(session))


async def test_an_answer_is_believed_for_two_seconds(api: Api, user: Person) -> None:
    clock, session = Clock(), await session_of(api)
    liveness = Liveness(api.resources.database, clock=clock)

    assert await liveness.role_of(session, UUID(user.id)) is Role.USER
    await api.resources.database.fetch("update users set role = 'manager'")
    clock.now += 1.9
    assert await liveness.role_of(session, UUID(user.id)) is Role.USER
    clock.now += 0.2
    assert await liveness.role_of(session, UUID(user.id)) is Role.MANAGER


async def test_an_answer_from_before_a_revocation_is_not_kept(api: Api, user: Person) -> None:
    session = await session_of(api)
    liveness = Liveness(api.resources.database)
    fetch = api.resources.database.fetch

    async def revoked_meanwhile(sql: str, *parameters: object) -> list[tuple[object, ...]]:
        rows = await fetch(sql, *parameters)
        await fetch("update sessions set revoked_at = now()")
        liveness.forget()
        return rows

    liveness._database.fetch = revoked_meanwhile  # type: ignore[method-assign]  # a race, staged
    assert await liveness.role_of(session, UUID(user.id)) is Role.USER
    liveness._database.fetch = fetch  # type: ignore[method-assign]  # over

    assert await liveness.role_of(session, UUID(user.id)) is None


async def test_the_session_of_somebody_else_is_none(api: Api, user: Person) -> None:
    other = await api.register()

    assert await api.resources.liveness.role_of(await _first(api), UUID(other.id)) is None


async def _first(api: Api) -> UUID:
    rows = await api.resources.database.fetch("select id from sessions order by id")
    return UUID(str(rows[0][0]))
