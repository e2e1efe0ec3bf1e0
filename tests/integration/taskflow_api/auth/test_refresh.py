"""Refresh tokens rotate; one that comes again ends its session."""

import asyncio
from typing import Any
from uuid import UUID

import httpx

from taskflow_api.auth.queries import user_by_id
from taskflow_core.settings import DatabaseSettings, HttpSettings, RedisSettings
from tests.support.api import PASSWORD, Api, Person, api_settings, auth_settings, key, problem_of


async def refresh(api: Api, tokens: dict[str, Any], **more: Any) -> httpx.Response:
    return await api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}, **more)


async def test_a_refresh_gives_a_new_pair(api: Api, user: Person) -> None:
    answer = await refresh(api, user.tokens)

    assert answer.status_code == 200
    pair = answer.json()
    assert pair["refresh_token"] != user.tokens["refresh_token"]
    assert (await Person(api, pair).get("/auth/me")).json()["id"] == user.id
    assert (await refresh(api, pair)).status_code == 200


async def test_a_used_token_that_comes_later_ends_its_session(api: Api, user: Person) -> None:
    second = (await refresh(api, user.tokens)).json()
    third = (await refresh(api, second)).json()

    problem_of(await refresh(api, user.tokens), 401, "bad-refresh-token")

    problem_of(await refresh(api, third), 401, "bad-refresh-token")
    for tokens in (user.tokens, second, third):
        problem_of(await Person(api, tokens).get("/auth/me"), 401)
    rows = await api.resources.database.fetch(
        "select type, data ->> 'session_id' is not null from security_events order by id desc"
    )
    assert rows[0] == ("refresh_reused", True)


async def test_a_used_token_after_the_grace_ends_its_session(api: Api, user: Person) -> None:
    await refresh(api, user.tokens)
    await api.resources.database.fetch(
        "update refresh_tokens set used_at = used_at - interval '11 s'"
    )

    problem_of(await refresh(api, user.tokens), 401, "bad-refresh-token")
    problem_of(await user.get("/auth/me"), 401)


async def test_the_same_client_gets_a_lost_answer_again(api: Api, user: Person) -> None:
    first, again = await refresh(api, user.tokens), await refresh(api, user.tokens)

    assert first.json() == again.json()
    assert (await refresh(api, again.json())).status_code == 200


async def test_another_client_with_a_used_token_ends_the_session(api: Api, user: Person) -> None:
    await refresh(api, user.tokens)

    problem_of(await refresh(api, user.tokens, headers={"user-agent": "thief"}), 401)
    problem_of(await user.get("/auth/me"), 401)


async def test_another_place_and_another_client_at_once_end_the_session(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> None:
    http = HttpSettings(TASKFLOW_TRUSTED_PROXIES="127.0.0.0/8")
    async with Api.started(api_settings(database_settings, redis_settings, http=http)) as api:
        tokens = (await api.register()).tokens
        # either alone is ordinary life, and is what the next refresh is compared with
        for forwarded, agent in (("", "updated"), ("203.0.113.7", "updated"), ("203.0.113.7", "b")):
            moved = {"x-forwarded-for": forwarded, "user-agent": agent}
            answer = await refresh(api, tokens, headers=moved)
            assert answer.status_code == 200, moved
            tokens = answer.json()
        await Person(api, tokens).get("/auth/me")

        elsewhere = {"x-forwarded-for": "198.51.100.1", "user-agent": "c"}
        problem_of(await refresh(api, tokens, headers=elsewhere), 401, "bad-refresh-token")

        problem_of(await Person(api, tokens).get("/auth/me"), 401)
        problem_of(await refresh(api, tokens, headers={"user-agent": "b"}), 401)
        events = await api.resources.database.fetch(
            "select type, data ->> 'reason' from security_events order by id desc limit 1"
        )
        assert events == [("session_revoked", "another place and another client at once")]


async def test_a_reused_token_and_a_new_password_do_not_wait_for_each_other(
    api: Api, user: Person
) -> None:
    await refresh(api, user.tokens)
    other = await api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    change = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    async with api.resources.database.session() as db:
        # as a change of the password begins: the person's row is locked, their sessions are not yet
        assert await user_by_id(db, UUID(user.id), lock=True)

        stolen = await refresh(api, user.tokens, headers={"user-agent": "thief"})

    problem_of(stolen, 401, "bad-refresh-token")
    changed = await Person(api, other.json()).post("/auth/me/password", change)
    assert changed.status_code == 204


async def test_four_refreshes_at_once_give_one_pair(api: Api, user: Person) -> None:
    answers = await asyncio.gather(*(refresh(api, user.tokens) for _ in range(4)))

    assert [a.status_code for a in answers] == [200] * 4
    assert len({a.text for a in answers}) == 1
    ((rows,),) = await api.resources.database.fetch("select count(*) from refresh_tokens")
    assert rows == 2


async def test_an_expired_token_is_refused_and_ends_nothing(api: Api, user: Person) -> None:
    await api.resources.database.fetch("update refresh_tokens set expires_at = now()")

    problem_of(await refresh(api, user.tokens), 401, "bad-refresh-token")
    assert (await user.get("/auth/me")).status_code == 200


async def test_no_refresh_outlives_its_session(api: Api, user: Person) -> None:
    await api.resources.database.fetch("update sessions set expires_at = now() + interval '60 s'")
    await refresh(api, user.tokens)

    ((within,),) = await api.resources.database.fetch(
        "select max(r.expires_at) <= max(s.expires_at) from refresh_tokens r, sessions s"
        " where r.used_at is null"
    )
    assert within
    await api.resources.database.fetch("update sessions set expires_at = now()")
    problem_of(await refresh(api, user.tokens), 401, "bad-refresh-token")


async def test_somebody_deactivated_cannot_refresh(api: Api, user: Person) -> None:
    await api.resources.database.fetch("update users set active = false")

    problem_of(await refresh(api, user.tokens), 401, "bad-refresh-token")


async def test_a_refresh_token_is_no_access_token(api: Api, user: Person) -> None:
    user.tokens["access_token"] = user.tokens["refresh_token"]

    problem_of(await user.get("/auth/me"), 401, "unauthenticated")


async def test_no_token_or_address_is_stored(api: Api, user: Person) -> None:
    await refresh(api, user.tokens)
    ((dump,),) = await api.resources.database.fetch(
        "select jsonb_agg(to_jsonb(r))::text || (select jsonb_agg(to_jsonb(s))::text from sessions s)"
        " || (select jsonb_agg(to_jsonb(e))::text from security_events e) from refresh_tokens r"
    )

    assert user.tokens["refresh_token"] not in dump
    assert "127.0.0.1" not in dump


async def test_a_lost_answer_can_be_repeated_after_a_key_rotation(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> None:
    old, new = key("old"), key("new")
    before = api_settings(
        database_settings, redis_settings, auth=auth_settings(TASKFLOW_JWT_KEYS=(old,))
    )
    after = api_settings(
        database_settings, redis_settings, auth=auth_settings(TASKFLOW_JWT_KEYS=(new, old))
    )
    async with Api.started(before) as api:
        user = await api.register()
        first = (await refresh(api, user.tokens)).json()
    async with Api.started(after) as api:
        again = (await refresh(api, user.tokens)).json()
        assert again["refresh_token"] == first["refresh_token"]
        assert (await Person(api, first).get("/auth/me")).status_code == 200
        assert (await Person(api, again).get("/auth/me")).status_code == 200


async def test_the_place_is_the_nearest_address_that_is_no_proxy_of_ours(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> None:
    http = HttpSettings(TASKFLOW_TRUSTED_PROXIES="127.0.0.0/8")
    async with Api.started(api_settings(database_settings, redis_settings, http=http)) as api:
        user = await api.register()

        async def place(forwarded: str) -> str:
            answer = await api.post(
                "/auth/login",
                {"email": user.email, "password": "correct horse battery"},
                headers={"x-forwarded-for": forwarded},
            )
            sessions = (await Person(api, answer.json()).get("/auth/sessions")).json()["data"]
            found: str = next(s["place"] for s in sessions if s["current"])
            return found

        assert await place("203.0.113.7") == await place("6.6.6.6, 203.0.113.7")
        assert await place("203.0.113.7") == await place("::ffff:203.0.113.7, 127.0.0.2")
        assert await place("203.0.113.7") != await place("203.0.113.8")
        assert await place("203.0.113.7, garbage") == await place("")
