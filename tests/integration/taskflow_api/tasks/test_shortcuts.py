"""The short way of the hottest routes answers exactly as the long way does."""

from typing import Any
from unittest.mock import patch

import fastapi.routing
import pytest

from taskflow_api.auth.dependencies import Caller
from taskflow_core.ids import new_id
from tests.support.api import Api, Person

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def both_ways(
    person: Person, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
) -> list[tuple[int, Any]]:
    """Send a request the short way, then the long way (a scheme in lower case is not ordinary)."""
    answers = []
    for scheme in ("Bearer", "bearer"):
        token = {"authorization": f"{scheme} {person.tokens['access_token']}"}
        answer = await person.api.client.request(
            method, f"/api/v1{path}", headers=token | (headers or {}), **more
        )
        body = answer.json() if answer.content else None
        if isinstance(body, dict):
            for name in ("request_id", "id", "created_at", "updated_at", "run_at"):
                body.pop(name, None)
        answers.append((answer.status_code, body))
    return answers


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=2",
        "limit=2&page=2&total=true",
        "sort=priority",
        "status=PENDING&status=FAILED&priority=LOW",
        "status=PENDING,FAILED",
        "limit=",
        "limit=2&limit=3",
        "limit=0",
        "search=a%20b",
        "search=%00",
        "cursor=",
        "flow=emails&handler=echo&overdue=no",
        "unknown=1",
        "due_from=2030-01-01T00:00:00Z",
        "owner_id=00000000000000000000000000000001",
        "&&=&",
    ],
)
async def test_lists(user: Person, query: str) -> None:
    for n in range(5):
        await user.post("/tasks", {"title": f"a b {n}", "priority": "LOW" if n % 2 else "HIGH"})

    short, long = await both_ways(user, "GET", f"/tasks?{query}")

    assert short == long


async def test_single_reads(user: Person) -> None:
    task = (await user.post("/tasks", {"title": "t"})).json()["id"]
    for id_ in (
        task,
        task.upper(),
        task.replace("-", ""),
        f"{{{task}}}",
        str(new_id()),
        "x",
        "%00",
    ):
        for headers in ({}, {"if-none-match": '"1"'}, {"if-none-match": '"2"'}):
            short, long = await both_ways(user, "GET", f"/tasks/{id_}", headers=headers)
            assert short == long


@pytest.mark.parametrize(
    "content",
    [
        b'{"title": "t"}',
        b'{"title": "t", "handler": "echo", "payload": [1]}',
        b'{"title": ""}',
        b'{"title": "t", "x": 1}',
        b'{"title": "t", "run_at": "2030-01-01T00:00:00Z"}',
        b"{",
        b"",
        b"null",
        b"[]",
    ],
)
async def test_creates(user: Person, content: bytes) -> None:
    headers = {"content-type": "application/json", "traceparent": TRACE}

    short, long = await both_ways(user, "POST", "/tasks", content=content, headers=headers)

    assert short == long
    traces = await user.api.resources.database.fetch("select distinct traceparent from tasks")
    assert traces in ([], [(TRACE,)])


async def test_repeated_creates(user: Person) -> None:
    headers = {"idempotency-key": "k"}

    short, long = await both_ways(user, "POST", "/tasks", json={"title": "t"}, headers=headers)

    assert short == long
    ((count,),) = await user.api.resources.database.fetch("select count(*) from tasks")
    assert count == 1, "the long way found the key of the short way"


async def test_nobody_gets_through_without_a_token(api: Api, user: Person) -> None:
    for header in ("", "Bearer", "Bearer ", "Bearer x", "Basic x", f"Bearer  {user.tokens}"):
        for path in ("", f"/{new_id()}"):
            answer = await api.client.get(f"/api/v1/tasks{path}", headers={"authorization": header})
            assert answer.status_code == 401


async def test_ordinary_requests_do_not_meet_the_solver(user: Person) -> None:
    task = (await user.post("/tasks", {"title": "t"})).json()["id"]
    with patch.object(fastapi.routing, "solve_dependencies", side_effect=AssertionError) as solver:
        for answer in (
            await user.post("/tasks", {"title": "t"}),
            await user.get("/tasks"),
            await user.get("/tasks?status=PENDING&limit=5"),
            await user.get(f"/tasks/{task}"),
        ):
            assert answer.status_code in {200, 201}
        solver.assert_not_called()
        await user.get(f"/tasks/{task}/events")
        solver.assert_called_once()


async def test_a_role_without_the_permission_takes_the_long_way(
    user: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Caller, "may", lambda *_: False)

    assert (await user.get("/tasks")).status_code == 403
