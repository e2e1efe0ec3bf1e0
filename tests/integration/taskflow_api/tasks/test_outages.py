"""Tasks while Redis or PostgreSQL is in trouble."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from taskflow_cli.local.servers import EmbeddedValkey
from taskflow_core.settings import DatabaseSettings, RedisSettings
from tests.integration.taskflow_api.tasks.test_publication import frozen
from tests.support.api import Api, Person, api_settings, problem_of

TASK = {"title": "t", "handler": "echo"}


@pytest.fixture
async def without_redis(
    database_settings: DatabaseSettings, tmp_path: Path
) -> AsyncIterator[Person]:
    """Somebody at an API whose Redis is not there."""
    nowhere = RedisSettings(REDIS_URL=SecretStr(f"unix://{tmp_path}/none.sock"))
    async with Api.started(api_settings(database_settings, nowhere)) as api:
        yield await api.register()


async def published(person: Person) -> list[bool]:
    rows = await person.api.resources.database.fetch(
        "select published_at is not null from tasks order by id"
    )
    return [published for (published,) in rows]


async def test_without_redis_tasks_are_created_quickly_and_left_to_the_dispatcher(
    without_redis: Person,
) -> None:
    before = time.monotonic()
    for _ in range(5):
        answer = await without_redis.post("/tasks", TASK)
        assert answer.status_code == 201
    assert time.monotonic() - before < 2

    # the first was to be published and could not be: the audit finds it; the others never were
    assert await published(without_redis) == [True, False, False, False, False]


async def test_without_redis_everything_else_works(without_redis: Person) -> None:
    task = (await without_redis.post("/tasks", TASK)).json()
    path = f"/tasks/{task['id']}"

    for answer in (
        await without_redis.get(path),
        await without_redis.get("/tasks"),
        await without_redis.get(f"{path}/events"),
        await without_redis.patch(path, {"title": "new"}),
        await without_redis.post(f"{path}/cancel"),
    ):
        assert answer.status_code == 200, answer.text


async def test_a_repeated_request_needs_no_redis(without_redis: Person) -> None:
    headers = {"idempotency-key": "k"}

    first = await without_redis.post("/tasks", TASK, headers=headers)
    again = await without_redis.post("/tasks", TASK, headers=headers)

    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_frozen_redis_costs_one_create_a_quarter_of_a_second(
    user: Person, valkey: EmbeddedValkey
) -> None:
    assert (await user.post("/tasks", TASK)).status_code == 201
    with frozen(valkey):
        before = time.monotonic()
        first = await user.post("/tasks", TASK)
        waited = time.monotonic() - before
        before = time.monotonic()
        second = await user.post("/tasks", TASK)
        read = await user.get("/tasks")
        after = time.monotonic() - before

    assert (first.status_code, second.status_code, read.status_code) == (201, 201, 200)
    assert waited < 1
    assert after < 0.5
    assert await published(user) == [True, True, False]


async def test_without_postgresql_the_answer_is_a_prompt_503(
    api: Api, user: Person, database_url: str
) -> None:
    task = (await user.post("/tasks", TASK)).json()
    await api.resources.database._pool.close()

    before = time.monotonic()
    for answer in (
        await user.post("/tasks", TASK),
        await user.post("/tasks", TASK, headers={"idempotency-key": "k"}),
        await user.get("/tasks"),
        await user.get(f"/tasks/{task['id']}"),
        await user.patch(f"/tasks/{task['id']}", {"title": "x"}),
        await user.delete(f"/tasks/{task['id']}"),
    ):
        problem_of(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
    assert time.monotonic() - before < 8
