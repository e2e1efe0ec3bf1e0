"""One's own account: profile, password, sessions."""

import pytest

from tests.support.api import PASSWORD, Api, Person, pointers, problem_of

NEW = "another horse battery"


async def second_login(api: Api, user: Person) -> Person:
    answer = await api.post("/auth/login", {"email": user.email, "password": PASSWORD})
    return Person(api, answer.json())


async def test_the_profile_changes_by_what_is_sent(user: Person) -> None:
    answer = await user.patch("/auth/me", {"name": "Countess"})

    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["email"]) == ("Countess", user.email)
    assert answer.json()["version"] == 2
    assert (await user.patch("/auth/me", {})).json()["version"] == 2


async def test_nobody_takes_anothers_email(api: Api, user: Person) -> None:
    other = await api.register()

    problem_of(await user.patch("/auth/me", {"email": other.email.upper()}), 409, "email-taken")


async def test_nobody_makes_themselves_admin(user: Person) -> None:
    for path in ("/auth/me", f"/users/{user.id}"):
        assert pointers(await user.patch(path, {"role": "admin"})) == {""}
    problem_of(await user.patch(f"/users/{user.id}/role", {"role": "admin"}), 403, "forbidden")


async def test_a_new_password_ends_the_other_sessions(api: Api, user: Person) -> None:
    other = await second_login(api, user)

    answer = await user.post(
        "/auth/me/password", {"current_password": PASSWORD, "new_password": NEW}
    )

    assert answer.status_code == 204
    assert (await user.get("/auth/me")).status_code == 200
    problem_of(await other.get("/auth/me"), 401)
    for password, status in ((PASSWORD, 401), (NEW, 200)):
        answer = await api.post("/auth/login", {"email": user.email, "password": password})
        assert answer.status_code == status


async def test_the_present_password_is_needed_for_a_new_one(api: Api, user: Person) -> None:
    answer = await user.post(
        "/auth/me/password", {"current_password": "wrong", "new_password": NEW}
    )

    assert pointers(answer) == {"/current_password"}
    events = await api.resources.database.fetch("select type from security_events order by id")
    assert events[-1] == ("login_failed",)


async def test_sessions_are_listed_and_ended_one_by_one(api: Api, user: Person) -> None:
    other = await second_login(api, user)
    sessions = (await user.get("/auth/sessions")).json()["data"]

    assert [session["current"] for session in sessions] == [False, True]
    assert (await user.delete(f"/auth/sessions/{sessions[0]['id']}")).status_code == 204

    problem_of(await other.get("/auth/me"), 401)
    assert len((await user.get("/auth/sessions")).json()["data"]) == 1
    problem_of(await user.delete(f"/auth/sessions/{sessions[0]['id']}"), 404, "not-found")


async def test_anothers_session_cannot_be_ended(api: Api, user: Person) -> None:
    stranger = await api.register()
    (session,) = (await stranger.get("/auth/sessions")).json()["data"]

    problem_of(await user.delete(f"/auth/sessions/{session['id']}"), 404)
    assert (await stranger.get("/auth/me")).status_code == 200


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "none"),
        ("", "empty"),
        ("Bearer", "no token"),
        ("Basic dXNlcjpwYXNz", "another scheme"),
        ("Bearer a.b.c", "garbage"),
        ("Bearer " + "x" * 5000, "huge"),
        ("Bearer \xed\xa0\x80", "half a surrogate pair"),
    ],
)
async def test_no_token_no_answer(api: Api, header: str | None, why: str) -> None:
    headers = [] if header is None else [(b"authorization", header.encode("latin-1"))]

    answer = await api.client.get("/api/v1/auth/me", headers=headers)

    problem_of(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
