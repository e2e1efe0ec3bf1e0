"""What may be done to accounts, and by whom."""

import asyncio

import pytest

from tests.support.api import PASSWORD, Api, Person, pointers, problem_of


async def test_an_account_is_its_owners_and_the_admins(
    api: Api, user: Person, admin: Person
) -> None:
    stranger, manager = await api.register(), await api.register_as("manager")

    for person, status in ((user, 200), (admin, 200), (stranger, 404), (manager, 404)):
        assert (await person.get(f"/users/{user.id}")).status_code == status
        patched = await person.patch(f"/users/{user.id}", {"name": "New"})
        assert patched.status_code == status


async def test_nobody_takes_an_account_over(api: Api, user: Person, admin: Person) -> None:
    answer = await user.patch(f"/users/{admin.id}", {"email": "mine@example.com"})

    problem_of(answer, 404, "not-found")
    again = await api.post("/auth/login", {"email": admin.email, "password": PASSWORD})
    assert again.status_code == 200


async def test_only_admins_list_people(api: Api, user: Person, admin: Person) -> None:
    problem_of(await user.get("/users"), 403, "forbidden")

    page = (await admin.get("/users")).json()

    assert [person["id"] for person in page["data"]] == [admin.id, user.id]
    assert "hash" not in str(page)


async def test_the_list_is_walked_by_cursor(api: Api, admin: Person) -> None:
    people = [admin.id, *[(await api.register()).id for _ in range(4)]]
    seen: list[str] = []
    path = "/users?limit=2"
    while True:
        page = (await admin.get(path)).json()
        seen += [person["id"] for person in page["data"]]
        if page["meta"]["next_cursor"] is None:
            break
        path = f"/users?limit=2&cursor={page['meta']['next_cursor']}"

    assert seen == people[::-1]


async def test_a_cursor_of_other_filters_is_refused(api: Api, admin: Person) -> None:
    await api.register()
    cursor = (await admin.get("/users?limit=1")).json()["meta"]["next_cursor"]

    for path in (f"/users?role=user&cursor={cursor}", "/users?cursor=AAAA", "/users?cursor=%00"):
        assert pointers(await admin.get(path)) == {"/query/cursor"}


@pytest.mark.parametrize(
    ("query", "found"),
    [("role=admin", 1), ("active=false", 1), ("search=PERCENT%25", 1), ("search=zzz", 0)],
)
async def test_the_list_is_filtered(api: Api, admin: Person, query: str, found: int) -> None:
    await api.register(name="percent% sign")
    gone = await api.register()
    await admin.patch(f"/users/{gone.id}", {"active": False})

    page = (await admin.get(f"/users?{query}")).json()

    assert len(page["data"]) == found


async def test_somebody_deactivated_is_out_at_once(api: Api, user: Person, admin: Person) -> None:
    assert (await admin.patch(f"/users/{user.id}", {"active": False})).status_code == 200

    problem_of(await user.get("/auth/me"), 401)


async def test_a_user_cannot_deactivate_themselves(user: Person) -> None:
    problem_of(await user.patch(f"/users/{user.id}", {"active": False}), 403, "forbidden")


async def test_a_new_role_is_in_force_with_the_old_token(
    api: Api, user: Person, admin: Person
) -> None:
    assert (await admin.patch(f"/users/{user.id}/role", {"role": "admin"})).status_code == 200

    assert (await user.get("/users")).status_code == 200
    rows = await api.resources.database.fetch(
        "select actor_id::text, data from security_events where type = 'role_changed'"
    )
    assert rows == [(admin.id, {"from": "user", "to": "admin"})]


async def test_a_deleted_user_is_gone_and_the_email_free(
    api: Api, user: Person, admin: Person
) -> None:
    assert (await admin.delete(f"/users/{user.id}")).status_code == 204

    problem_of(await user.get("/auth/me"), 401)
    problem_of(await admin.get(f"/users/{user.id}"), 404)
    problem_of(
        await api.post("/auth/login", {"email": user.email, "password": PASSWORD}),
        401,
        "bad-credentials",
    )
    await api.register(email=user.email)


@pytest.mark.parametrize("how", ["delete", "demote", "deactivate"])
async def test_the_last_admin_stays(admin: Person, how: str) -> None:
    match how:
        case "delete":
            answer = await admin.delete(f"/users/{admin.id}")
        case "demote":
            answer = await admin.patch(f"/users/{admin.id}/role", {"role": "user"})
        case _:
            answer = await admin.patch(f"/users/{admin.id}", {"active": False})

    problem_of(answer, 409, "last-admin")


async def test_two_admins_cannot_remove_each_other_at_once(api: Api, admin: Person) -> None:
    other = await api.register_as("admin")

    await asyncio.gather(
        admin.delete(f"/users/{other.id}"),
        other.patch(f"/users/{admin.id}/role", {"role": "user"}),
    )

    ((left,),) = await api.resources.database.fetch(
        "select count(*) from users where role = 'admin' and active"
    )
    assert left == 1
