"""Registering, logging in and out."""

import asyncio

import pytest

from taskflow_api.auth.passwords import Passwords
from tests.support.api import PASSWORD, Api, Person, pointers, problem_of


async def audit(api: Api) -> list[str]:
    rows = await api.resources.database.fetch("select type from security_events order by id")
    return [type_ for (type_,) in rows]


async def test_registering_logs_in(api: Api) -> None:
    answer = await api.post(
        "/auth/register", {"email": "Ada@example.com", "name": "O'Brien", "password": PASSWORD}
    )

    assert answer.status_code == 201
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 900
    assert (body["user"]["name"], body["user"]["role"]) == ("O'Brien", "user")
    assert "password" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    me = await Person(api, body).get("/auth/me")
    assert me.json()["email"] == "Ada@example.com"
    assert await audit(api) == ["registered"]


async def test_an_email_is_taken_whatever_its_case(api: Api) -> None:
    await api.register(email="ada@example.com")

    answer = await api.post(
        "/auth/register", {"email": "ADA@example.com", "name": "x", "password": PASSWORD}
    )

    assert problem_of(answer, 409, "email-taken")["errors"][0]["pointer"] == "/email"


async def test_of_two_registrations_at_once_one_wins(api: Api) -> None:
    body = {"email": "race@example.com", "name": "x", "password": PASSWORD}

    answers = await asyncio.gather(*(api.post("/auth/register", body) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]


async def test_logging_in_with_another_case_of_the_email(api: Api) -> None:
    await api.register(email="ada@example.com")

    answer = await api.post("/auth/login", {"email": "Ada@Example.com", "password": PASSWORD})

    assert answer.status_code == 200
    assert await audit(api) == ["registered", "logged_in"]


async def test_a_wrong_password_and_an_unknown_email_are_answered_alike(api: Api) -> None:
    user = await api.register()
    wrong = await api.post("/auth/login", {"email": user.email, "password": "wrong"})
    unknown = await api.post("/auth/login", {"email": "no@example.com", "password": "wrong"})

    first, second = (problem_of(answer, 401, "bad-credentials") for answer in (wrong, unknown))
    del first["request_id"], second["request_id"]
    assert first == second
    assert wrong.headers["www-authenticate"] == "Bearer"
    assert await audit(api) == ["registered", "login_failed", "login_failed"]


async def test_an_unknown_email_costs_a_hash_too(api: Api) -> None:
    checked: list[object] = []
    run = api.resources.passwords._run

    async def counting(function: object, *args: object) -> object:
        checked.append(function)
        return await run(function, *args)  # type: ignore[arg-type]  # passed on as it came

    api.resources.passwords._run = counting  # type: ignore[assignment, method-assign]  # a spy
    await api.post("/auth/login", {"email": "no@example.com", "password": "wrong"})

    assert len(checked) == 1


@pytest.mark.parametrize("change", ["password_hash = 'another'", "active = false"])
async def test_what_changes_while_the_password_is_hashed_counts(
    api: Api, user: Person, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async def matches(*_: object) -> bool:
        await api.resources.database.fetch(f"update users set {change}")
        return True

    monkeypatch.setattr(Passwords, "matches", matches)

    answer = await api.post("/auth/login", {"email": user.email, "password": PASSWORD})

    problem_of(answer, 401, "bad-credentials")
    ((sessions,),) = await api.resources.database.fetch("select count(*) from sessions")
    assert sessions == 1, "the one of registering"


async def test_somebody_deactivated_cannot_log_in(api: Api) -> None:
    user = await api.register()
    await api.resources.database.fetch("update users set active = false")

    answer = await api.post("/auth/login", {"email": user.email, "password": PASSWORD})

    problem_of(answer, 401, "bad-credentials")


@pytest.mark.parametrize(
    "password",
    [
        "x" * 100,
        "ä" * 73,
        "nul \x00 within it",
        "emoji 🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑🔑",
        " spaces around ",
    ],
)
async def test_any_password_works_to_its_last_character(api: Api, password: str) -> None:
    user = await api.register(password=password)

    right = await api.post("/auth/login", {"email": user.email, "password": password})
    longer = await api.post("/auth/login", {"email": user.email, "password": password + "x"})
    shorter = await api.post("/auth/login", {"email": user.email, "password": password[:-1]})

    assert [a.status_code for a in (right, longer, shorter)] == [200, 401, 401]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("password", "short"),
        ("password", "x" * 1025),
        ("email", "not an address"),
        ("email", "a@b@c.de"),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "x" * 201),
        ("name", None),
    ],
)
async def test_what_cannot_be_registered_is_named(api: Api, field: str, value: object) -> None:
    body = {"email": "ada@example.com", "name": "Ada", "password": PASSWORD} | {field: value}

    assert pointers(await api.post("/auth/register", body)) == {f"/{field}"}


async def test_logging_out_ends_the_session_at_once(api: Api, user: Person) -> None:
    token = {"refresh_token": user.tokens["refresh_token"]}

    assert (await user.get("/auth/me")).status_code == 200
    assert (await api.post("/auth/logout", token)).status_code == 204
    problem_of(await user.get("/auth/me"), 401)
    problem_of(await api.post("/auth/refresh", token), 401, "bad-refresh-token")
    assert await audit(api) == ["registered", "logged_out"]


async def test_a_stranger_cannot_make_the_process_forget_who_is_in(
    api: Api, user: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten: list[None] = []
    monkeypatch.setattr(api.resources.liveness, "forget", lambda: forgotten.append(None))
    for token in ("x", "A" * 43):
        await api.post("/auth/logout", {"refresh_token": token})
    assert not forgotten

    await api.post("/auth/logout", {"refresh_token": user.tokens["refresh_token"]})
    await api.post("/auth/logout", {"refresh_token": user.tokens["refresh_token"]})

    assert len(forgotten) == 1
    assert await audit(api) == ["registered", "logged_out"]


async def test_logging_out_with_any_token_tells_nothing(api: Api) -> None:
    for token in ("unknown", "A" * 43, "ü"):
        assert (await api.post("/auth/logout", {"refresh_token": token})).status_code == 204


async def test_logging_out_everywhere_ends_all_sessions(api: Api, user: Person) -> None:
    other = (await api.post("/auth/login", {"email": user.email, "password": PASSWORD})).json()

    assert (await user.post("/auth/logout-all")).status_code == 204

    for person in (user, Person(api, other)):
        problem_of(await person.get("/auth/me"), 401)


async def test_too_many_passwords_at_once_are_refused_not_queued(api: Api) -> None:
    api.resources.passwords._room = 0

    answer = await api.post("/auth/login", {"email": "a@example.com", "password": "x"})

    problem_of(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "email", ["ade\u0301@example.com", "ada@xn--exmple-cua.com", "\u0130@example.com"]
)
async def test_whoever_registers_in_one_spelling_logs_in_with_it(api: Api, email: str) -> None:
    await api.register(email=email)

    answer = await api.post("/auth/login", {"email": email, "password": PASSWORD})

    assert answer.status_code == 200
