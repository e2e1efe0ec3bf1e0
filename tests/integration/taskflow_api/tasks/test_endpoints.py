"""The routes of tasks, as a client meets them."""

import asyncio
from typing import Any

import pytest

from taskflow_core.ids import new_id
from taskflow_core.queue import statements
from taskflow_core.queue.window import Window
from tests.integration.taskflow_api.tasks.factory import start
from tests.support.api import Api, Person, pointers, problem_of
from tests.support.waiting import eventually


@pytest.fixture
async def manager(api: Api) -> Person:
    return await api.register_as("manager")


@pytest.fixture
async def stranger(api: Api) -> Person:
    return await api.register()


async def create(person: Person, **fields: Any) -> dict[str, Any]:
    answer = await person.post("/tasks", {"title": "t"} | fields)
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def run(api: Api, task: dict[str, Any]) -> int:
    """Let a worker claim a task; return the worker's session."""
    return await start(api.resources.database, task["id"])


# ---- create ---------------------------------------------------------------------------------------


async def test_a_created_task_is_where_its_location_says(user: Person) -> None:
    answer = await user.post("/tasks", {"title": "hello"})

    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["location"] == f"/api/v1/tasks/{task['id']}"
    assert answer.headers["etag"] == '"1"'
    assert (task["title"], task["status"], task["owner_id"]) == ("hello", "PENDING", user.id)
    assert (task["flow"], task["priority"], task["handler"]) == ("default", "MEDIUM", None)
    assert task["created_at"].endswith("Z")
    read = await user.get(f"/tasks/{task['id']}")
    assert (read.status_code, read.json()) == (200, task)
    assert read.headers["etag"] == '"1"'


async def test_an_executable_task_stands_in_its_window(api: Api, user: Person) -> None:
    task = await create(user, handler="echo", payload={"n": 1})

    assert task["payload"] == {"n": 1}
    assert await Window(api.resources.redis).task_ids("default") == {task["id"]}


async def test_a_valid_trace_is_kept_and_an_invalid_one_ignored(api: Api, user: Person) -> None:
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header in (good, "00-garbage"):
        answer = await user.post("/tasks", {"title": "t"}, headers={"traceparent": header})
        assert answer.status_code == 201

    rows = await api.resources.database.fetch("select traceparent from tasks order by id")
    assert rows == [(good,), (None,)]


async def test_a_request_repeated_with_its_key_is_answered_again(user: Person) -> None:
    headers = {"idempotency-key": "order-1"}
    body = {"title": "t", "handler": "echo"}

    first = await user.post("/tasks", body, headers=headers)
    again = await user.post("/tasks", body, headers=headers)
    other = await user.post("/tasks", body | {"title": "u"}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["content-type"] == first.headers["content-type"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    problem_of(other, 422, "idempotency-key-reused")
    assert len((await user.get("/tasks")).json()["data"]) == 1


async def test_a_key_must_be_short_and_printable(user: Person) -> None:
    for key in ("", "a" * 256, "é"):
        answer = await user.post(
            "/tasks", {"title": "t"}, headers={"idempotency-key": key.encode("latin-1")}
        )
        assert pointers(answer) == {"/header/Idempotency-Key"}


async def test_a_persons_task_takes_nothing_that_is_for_workers(user: Person) -> None:
    answer = await user.post(
        "/tasks",
        {
            "title": "t",
            "payload": 1,
            "run_at": "2030-01-01T00:00:00Z",
            "max_attempts": 1,
            "timeout_s": 1,
        },
    )

    assert pointers(answer) == {"/payload", "/run_at", "/max_attempts", "/timeout_s"}


async def test_a_task_is_created_for_an_active_user_only(user: Person, stranger: Person) -> None:
    task = await create(user, assignee_id=stranger.id)
    refused = await user.post("/tasks", {"title": "t", "assignee_id": str(new_id())})

    assert task["assignee_id"] == stranger.id
    assert pointers(refused) == {"/assignee_id"}


async def test_two_hundred_creates_at_once_meet_no_error_and_no_deadlock(
    api: Api, user: Person
) -> None:
    answers = await asyncio.gather(
        *(
            user.post(
                "/tasks",
                {"title": f"t{n}", "handler": "echo"},
                headers={"idempotency-key": f"k{n % 50}-{n}"} if n % 2 else {},
            )
            for n in range(200)
        )
    )

    assert {answer.status_code for answer in answers} == {201}
    window = await Window(api.resources.redis).task_ids("default")
    assert window == {answer.json()["id"] for answer in answers}


# ---- read -----------------------------------------------------------------------------------------


async def test_nobody_learns_anything_without_a_login(api: Api, user: Person) -> None:
    task = await create(user)
    for method, path in (
        ("POST", ""),
        ("GET", ""),
        ("GET", f"/{task['id']}"),
        ("PATCH", f"/{task['id']}"),
        ("DELETE", f"/{task['id']}"),
        ("POST", f"/{task['id']}/assign"),
        ("POST", f"/{task['id']}/cancel"),
        ("GET", f"/{task['id']}/events"),
    ):
        answer = await api.client.request(method, f"/api/v1/tasks{path}", json={"title": "x"})
        problem_of(answer, 401, "unauthenticated")


async def test_a_stranger_cannot_tell_a_task_from_none(user: Person, stranger: Person) -> None:
    task = await create(user)

    for id_ in (task["id"], str(new_id())):
        answers = [
            await stranger.get(f"/tasks/{id_}"),
            await stranger.patch(f"/tasks/{id_}", {"title": "x"}),
            await stranger.delete(f"/tasks/{id_}"),
            await stranger.post(f"/tasks/{id_}/assign", {"assignee_id": stranger.id}),
            await stranger.post(f"/tasks/{id_}/cancel"),
            await stranger.get(f"/tasks/{id_}/events"),
        ]
        problems = [problem_of(answer, 404, "not-found") for answer in answers]
        assert len({(p["title"], p["detail"]) for p in problems}) == 1
    assert (await user.get(f"/tasks/{task['id']}")).json() == task


async def test_managers_and_admins_see_and_change_all(
    user: Person, manager: Person, admin: Person
) -> None:
    task = await create(user)

    for person in (manager, admin):
        assert (await person.get(f"/tasks/{task['id']}")).status_code == 200
        assert [t["id"] for t in (await person.get("/tasks")).json()["data"]] == [task["id"]]
        changed = await person.patch(f"/tasks/{task['id']}", {"title": f"by {person.id}"})
        assert changed.json()["title"] == f"by {person.id}"


async def test_a_known_version_is_answered_without_a_body(user: Person) -> None:
    task = await create(user)
    path = f"/tasks/{task['id']}"

    for header in ('"1"', 'W/"1"', '"7", "1"', "*"):
        same = await user.get(path, headers={"if-none-match": header})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == '"1"'
    await user.patch(path, {"title": "new"})
    changed = await user.get(path, headers={"if-none-match": '"1"'})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')


async def test_a_stranger_is_not_told_that_nothing_changed(user: Person, stranger: Person) -> None:
    task = await create(user)

    answer = await stranger.get(f"/tasks/{task['id']}", headers={"if-none-match": "*"})

    problem_of(answer, 404)


async def test_progress_is_seen_although_it_is_no_new_version(api: Api, user: Person) -> None:
    task = await create(user, handler="echo")
    await run(api, task)
    etag = (await user.get(f"/tasks/{task['id']}")).headers["etag"]
    await api.resources.database.fetch("update tasks set progress = '{\"fraction\": 0.5}'")

    answer = await user.get(f"/tasks/{task['id']}", headers={"if-none-match": etag})

    assert (answer.status_code, answer.json()["progress"]) == (200, {"fraction": 0.5})


# ---- list -----------------------------------------------------------------------------------------


async def test_a_list_is_followed_by_its_cursors(user: Person, stranger: Person) -> None:
    made = [(await create(user, title=f"t{n}"))["id"] for n in range(5)]
    await create(stranger)

    first = (await user.get("/tasks", params={"limit": 2, "total": "true"})).json()
    cursor = first["meta"]["next_cursor"]
    second = (await user.get("/tasks", params={"limit": 2, "cursor": cursor})).json()
    numbered = (await user.get("/tasks", params={"limit": 2, "page": 2})).json()

    assert [task["id"] for task in first["data"]] == [made[4], made[3]]
    assert first["meta"] == {"limit": 2, "next_cursor": cursor, "total": 5}
    assert [task["id"] for task in second["data"]] == [made[2], made[1]]
    assert numbered["data"] == second["data"]
    assert numbered["meta"]["page"] == 2


async def test_filters_are_query_parameters(user: Person) -> None:
    await create(user, title="call Ada", priority="HIGH")
    done = await create(user, title="call Bob")
    await user.patch(f"/tasks/{done['id']}", {"status": "COMPLETED"})
    gone = await create(user, title="write to Ada")
    await user.post(f"/tasks/{gone['id']}/cancel")

    async def titles(query: str) -> list[str]:
        answer = await user.get(f"/tasks?{query}")
        assert answer.status_code == 200, answer.text
        return [task["title"] for task in answer.json()["data"]]

    assert await titles("search=ADA&sort=created_at") == ["call Ada", "write to Ada"]
    assert await titles("status=COMPLETED&status=CANCELLED") == ["write to Ada", "call Bob"]
    assert await titles("priority=HIGH") == ["call Ada"]
    assert await titles("sort=priority&limit=1") == ["call Ada"]
    assert await titles("due_to=2030-01-01T00%3A00%3A00%2B02%3A00") == []
    assert await titles("overdue=true") == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=101", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=" + "9" * 5_000, "/query/limit"),
        ("page=0", "/query/page"),
        ("page=101&limit=100", "/query/page"),
        ("page=1&cursor=x", "/query/page"),
        ("cursor=x", "/query/cursor"),
        ("cursor=", "/query/cursor"),
        ("cursor=%ff%00", "/query/cursor"),
        ("cursor=" + "A" * 5_000, "/query/cursor"),
        ("sort=title", "/query/sort"),
        ("sort=-", "/query/sort"),
        ("status=DONE", "/query/status/0"),
        ("status=PENDING&status=x", "/query/status/1"),
        ("priority=1", "/query/priority/0"),
        ("owner_id=me", "/query/owner_id"),
        ("flow=%00", "/query/flow"),
        ("handler=%0a", "/query/handler"),
        ("search=%00", "/query/search"),
        ("search=", "/query/search"),
        ("search=%ed%a0%80x%00", "/query/search"),
        ("due_from=2030-01-01", "/query/due_from"),
        ("created_to=2030-01-01T00:00:00", "/query/created_to"),
        ("overdue=perhaps", "/query/overdue"),
        ("total=1e400", "/query/total"),
    ],
)
async def test_a_query_that_cannot_be_is_refused_by_name(
    user: Person, query: str, pointer: str
) -> None:
    assert pointers(await user.get(f"/tasks?{query}")) == {pointer}


async def test_an_unknown_parameter_is_refused_and_not_repeated(user: Person) -> None:
    answer = await user.get("/tasks?evil-name=1")

    problem_of(answer, 422)
    assert "evil" not in answer.text


async def test_a_cursor_of_another_list_is_refused(user: Person, stranger: Person) -> None:
    for person in (user, stranger):
        for _ in range(2):
            await create(person)
    cursor = (await user.get("/tasks?limit=1")).json()["meta"]["next_cursor"]

    assert (await user.get(f"/tasks?limit=1&cursor={cursor}")).status_code == 200
    assert pointers(await user.get(f"/tasks?sort=due_at&cursor={cursor}")) == {"/query/cursor"}
    assert pointers(await user.get(f"/tasks?flow=default&cursor={cursor}")) == {"/query/cursor"}
    assert pointers(await stranger.get(f"/tasks?cursor={cursor}")) == {"/query/cursor"}


# ---- change ---------------------------------------------------------------------------------------


async def test_a_patch_answers_with_the_task_and_its_new_tag(user: Person) -> None:
    task = await create(user, description="d")

    answer = await user.patch(
        f"/tasks/{task['id']}",
        {"title": "new", "description": None, "status": "IN_PROGRESS"},
        headers={"if-match": '"1"'},
    )

    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert answer.json() == (await user.get(f"/tasks/{task['id']}")).json()
    assert (answer.json()["title"], answer.json()["description"]) == ("new", None)


async def test_a_change_of_what_has_changed_is_refused(user: Person) -> None:
    task = await create(user)
    path = f"/tasks/{task['id']}"
    await user.patch(path, {"title": "theirs"})
    stale = {"if-match": '"1"'}

    for answer in (
        await user.patch(path, {"title": "mine"}, headers=stale),
        await user.delete(path, headers=stale),
        await user.post(f"{path}/cancel", headers=stale),
        await user.post(f"{path}/assign", {"assignee_id": None}, headers=stale),
    ):
        problem = problem_of(answer, 412, "precondition-failed")
        assert problem["version"] == 2
    assert (await user.get(path)).json()["title"] == "theirs"


async def test_an_if_match_that_makes_no_sense_is_not_ignored(user: Person) -> None:
    task = await create(user)

    answer = await user.patch(f"/tasks/{task['id']}", {"title": "x"}, headers={"if-match": "1"})

    assert pointers(answer) == {"/header/If-Match"}


async def test_the_status_of_a_workers_task_points_to_the_right_route(user: Person) -> None:
    task = await create(user, handler="echo")

    answer = await user.patch(f"/tasks/{task['id']}", {"status": "CANCELLED"})

    problem = problem_of(answer, 409, "status-is-the-workers")
    assert (await user.call("POST", problem["route"].removeprefix("/api/v1"))).status_code == 200


async def test_a_persons_task_cannot_fail(user: Person) -> None:
    task = await create(user)

    problem = problem_of(
        await user.patch(f"/tasks/{task['id']}", {"status": "FAILED"}), 409, "transition"
    )

    assert problem["allowed"] == ["IN_PROGRESS", "COMPLETED", "CANCELLED"]


async def test_an_assignee_works_on_a_task_and_cannot_give_it_away(
    user: Person, stranger: Person
) -> None:
    task = await create(user)
    path = f"/tasks/{task['id']}"

    given = await user.post(f"{path}/assign", {"assignee_id": stranger.id})

    assert (given.status_code, given.headers["etag"]) == (200, '"2"')
    assert [t["id"] for t in (await stranger.get("/tasks")).json()["data"]] == [task["id"]]
    assert (await stranger.patch(path, {"status": "COMPLETED"})).status_code == 200
    problem_of(await stranger.post(f"{path}/assign", {"assignee_id": None}), 403, "not-the-owner")
    problem_of(await stranger.delete(path), 403, "not-the-owner")
    assert (await user.post(f"{path}/assign", {"assignee_id": None})).json()["assignee_id"] is None
    problem_of(await stranger.get(path), 404)


async def test_a_task_is_not_given_to_nobody_known(
    user: Person, admin: Person, stranger: Person
) -> None:
    task = await create(user)
    path = f"/tasks/{task['id']}/assign"
    assert (await admin.delete(f"/users/{stranger.id}")).status_code == 204

    for id_ in (str(new_id()), stranger.id):
        assert pointers(await user.post(path, {"assignee_id": id_})) == {"/assignee_id"}
    for body in ({}, {"assignee_id": "me"}, {"assignee_id": 5}):
        assert pointers(await user.post(path, body)) == {"/assignee_id"}


# ---- cancel and delete ----------------------------------------------------------------------------


async def test_what_waits_is_cancelled_and_what_has_ended_is_not(user: Person) -> None:
    for fields in ({}, {"handler": "echo"}):
        task = await create(user, **fields)

        answer = await user.post(f"/tasks/{task['id']}/cancel")

        assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
        assert answer.headers["etag"] == '"2"'
        problem_of(await user.post(f"/tasks/{task['id']}/cancel"), 409, "already-final")


async def test_a_running_task_is_told_to_stop(api: Api, user: Person) -> None:
    task = await create(user, handler="echo")
    session = await run(api, task)

    answers = [await user.post(f"/tasks/{task['id']}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json()["status"] == "IN_PROGRESS"
    assert await api.resources.database.fetch(statements.HELD, session) == [(task["id"], 1, True)]


async def test_a_deleted_task_is_gone_but_for_its_log(
    api: Api, user: Person, manager: Person
) -> None:
    task, running = await create(user), await create(user, handler="echo")
    await run(api, running)

    gone = await user.delete(f"/tasks/{task['id']}", headers={"if-match": '"1"'})

    assert (gone.status_code, gone.content) == (204, b"")
    problem_of(await user.get(f"/tasks/{task['id']}"), 404)
    problem_of(await user.delete(f"/tasks/{task['id']}"), 404)
    log = (await manager.get(f"/tasks/{task['id']}/events")).json()["data"]
    assert [event["type"] for event in log] == ["task.created", "task.deleted"]
    problem_of(await user.delete(f"/tasks/{running['id']}"), 409, "still-running")


async def test_a_log_says_who_did_what(user: Person, manager: Person) -> None:
    task = await create(user)
    await manager.patch(f"/tasks/{task['id']}", {"title": "new"})
    path = f"/tasks/{task['id']}/events"

    first = (await user.get(path, params={"limit": 1})).json()
    rest = (await user.get(path, params={"cursor": first["meta"]["next_cursor"]})).json()

    assert [(e["type"], e["actor"]) for e in first["data"]] == [("task.created", f"user:{user.id}")]
    (event,) = rest["data"]
    assert (event["type"], event["actor"]) == ("task.updated", f"user:{manager.id}")
    assert event["data"] == {"fields": ["title"]}
    assert event["at"].endswith("Z")
    assert rest["meta"] == {"limit": 20, "next_cursor": None}
    assert pointers(await user.get(f"{path}?limit=0")) == {"/query/limit"}
    assert pointers(await user.get(f"{path}?cursor=x")) == {"/query/cursor"}
    problem_of(await user.get(f"{path}?unknown=1"), 422, "validation")


async def test_a_publication_is_counted(api: Api, user: Person) -> None:
    await create(user, handler="echo")

    async def metrics() -> str:
        return (await api.client.get("/metrics")).text

    line = 'taskflow_publications_total{flow="default",outcome="published"} 1.0'
    await eventually(metrics, lambda text: line in text, what=line)
