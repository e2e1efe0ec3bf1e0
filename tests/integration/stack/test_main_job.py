"""What the product promises about one task's way, on the whole running product."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis as sync_redis

from tests.support.stack import ADMIN, Stack, running
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack") / "data") as started:
        yield started


@pytest.fixture
def user(stack: Stack) -> Iterator[httpx.Client]:
    with stack.login() as client:
        yield client


def create(client: httpx.Client, **task: Any) -> dict[str, Any]:
    answer = client.post("/tasks", json={"title": "x"} | task)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


def finished(client: httpx.Client, task_id: str, *, within_s: float = 10.0) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        answer = await asyncio.to_thread(client.get, f"/tasks/{task_id}")
        seen: dict[str, Any] = answer.json()
        return seen

    return asyncio.run(
        eventually(
            look,
            lambda task: task["status"] in {"COMPLETED", "FAILED", "CANCELLED"},
            within_s=within_s,
            what=f"the end of {task_id}",
        )
    )


def event_types(client: httpx.Client, task_id: str) -> list[str]:
    log = client.get(f"/tasks/{task_id}/events").json()["data"]
    return [event["type"].removeprefix("task.") for event in log]


def test_a_task_is_completed_within_a_second_and_seen_by_its_owner_only(
    stack: Stack, user: httpx.Client
) -> None:
    answer = user.post("/tasks", json={"title": "x", "handler": "echo", "payload": {"n": 1}})

    assert answer.status_code == 201
    assert answer.headers["location"].endswith(answer.json()["id"])
    assert answer.headers["etag"] == '"1"'
    task = finished(user, answer.json()["id"], within_s=1)
    assert (task["status"], task["result"]) == ("COMPLETED", {"n": 1})
    assert task["id"] in [listed["id"] for listed in user.get("/tasks").json()["data"]]
    with stack.login(ADMIN) as admin:
        other = admin.post(
            "/auth/register",
            json={"email": "o@example.com", "name": "O", "password": "correct horse battery"},
        ).json()
        me = user.get("/auth/me").json()
    theirs = {"authorization": f"Bearer {other['access_token']}"}
    assert user.get(f"/tasks/{task['id']}", headers=theirs).status_code == 404
    assert user.patch(f"/users/{me['id']}", json={"name": "?"}, headers=theirs).status_code == 404


def test_a_killed_workers_task_runs_again_and_completes_once(
    stack: Stack, user: httpx.Client
) -> None:
    task = create(user, handler="sleep", payload={"seconds": 3})

    async def holder() -> list[tuple[str]]:
        with stack.database() as database:
            return database.execute(
                "select s.replica from tasks t join worker_sessions s on s.id = t.worker"
                " where t.id = %s",
                (task["id"],),
            ).fetchall()

    ((replica,),) = asyncio.run(eventually(holder, bool, what="a worker at the task"))
    killed = time.monotonic()
    os.kill(stack.pids("worker")[replica], signal.SIGKILL)

    async def attempt() -> int:
        answer = await asyncio.to_thread(user.get, f"/tasks/{task['id']}")
        seen: int = answer.json()["attempt"]
        return seen

    asyncio.run(eventually(attempt, lambda n: n == 2, within_s=20, what="a second attempt"))
    assert time.monotonic() - killed <= 20
    assert finished(user, task["id"], within_s=10)["status"] == "COMPLETED"
    assert event_types(user, task["id"]) == [
        *("created", "started", "lease_lost", "started", "completed")
    ]


def test_a_flushed_window_loses_no_task(stack: Stack, user: httpx.Client) -> None:
    # keeps both workers busy, so that the tasks behind it really wait in the window
    with stack.database() as database:
        (before,) = database.execute("select count(*) from tasks").fetchone() or (0,)
    workers = stack.pids("worker").values()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(lambda n: create(user, handler="echo", payload=n), range(1000)))
        with sync_redis.Redis.from_url(stack.state["redis_url"]) as redis:
            redis.flushall()
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)

    async def states() -> dict[str, int]:
        with stack.database() as database:
            rows = database.execute(
                "select status, count(*) from tasks where title = 'x' and handler = 'echo'"
                " group by status"
            ).fetchall()
        return dict(rows)

    asyncio.run(
        eventually(
            states,
            lambda seen: set(seen) == {"COMPLETED"} and seen["COMPLETED"] >= 1000,
            within_s=60,
            what="the end of all tasks",
        )
    )
    with stack.database() as database:
        (after,) = database.execute("select count(*) from tasks").fetchone() or (0,)
        (twice,) = database.execute(
            "select count(*) from (select from task_events where type = 'task.completed'"
            " group by task_id having count(*) > 1) x"
        ).fetchone() or (0,)
    assert (after - before, twice) == (1000, 0)


@pytest.mark.parametrize("clients", [16, 200])
async def test_many_creates_at_once_all_succeed(stack: Stack, clients: int) -> None:
    with stack.login() as logged_in:
        headers = dict(logged_in.headers)
    async with httpx.AsyncClient(
        base_url=f"{stack.url}/api/v1",
        headers=headers,
        timeout=30,
        limits=httpx.Limits(max_connections=clients),
    ) as client:
        answers = await asyncio.gather(
            *(client.post("/tasks", json={"title": f"many {n}"}) for n in range(2 * clients))
        )

    assert {answer.status_code for answer in answers} == {201}
