"""What every answer carries, what probes say, and what happens when PostgreSQL or Valkey is away."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.types import Message, Scope

from taskflow_api.middleware import Edge
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey
from taskflow_core import migrations
from taskflow_core.settings import DatabaseSettings, HttpSettings, RedisSettings
from tests.support.api import Api, Person, api_settings, problem_of
from tests.support.waiting import eventually


async def test_every_answer_has_its_id_and_its_security_headers(api: Api) -> None:
    for path in ("/livez", "/api/v1/auth/me", "/nowhere", "/openapi.json"):
        answer = await api.client.get(path)
        assert len(answer.headers["x-request-id"]) == 32
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "max-age" in answer.headers["strict-transport-security"]
        assert "server" not in answer.headers


async def test_the_docs_need_nobody_elses_server(api: Api) -> None:
    page = await api.client.get("/docs")

    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "http" not in policy
    linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(linked) == 4
    for url in linked:
        answer = await api.client.get(url)
        assert answer.status_code == 200, url
        assert answer.content
    assert "/openapi.json" in (await api.client.get("/docs/start.js")).text
    problem_of(await api.client.get("/docs/__init__.py"), 404)


@pytest.mark.parametrize(
    ("sent", "kept"), [("order-7:a.b_c", True), ("x" * 101, False), ("a b", False), ("", False)]
)
async def test_a_harmless_request_id_is_kept(api: Api, sent: str, kept: bool) -> None:  # noqa: FBT001
    answer = await api.client.get("/livez", headers={"x-request-id": sent})

    assert (answer.headers["x-request-id"] == sent) is kept


async def test_a_problem_names_the_trace(api: Api) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await api.client.get(
        "/nowhere", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )

    assert problem_of(answer, 404)["trace_id"] == trace


async def test_what_nobody_foresaw_is_a_500_without_a_word_about_it(api: Api, user: Person) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a secret")

    api.resources.liveness.role_of = fails  # type: ignore[assignment, method-assign]  # a broken part

    problem = problem_of(await user.get("/auth/me"), 500, "internal")

    assert "secret" not in str(problem)


async def test_the_numbers_speak_of_routes_never_of_paths(api: Api, user: Person) -> None:
    task = (await user.post("/tasks", {"title": "t"})).json()
    await user.get(f"/tasks/{task['id']}")
    await api.client.get("/some/where/else")

    text = (await api.client.get("/metrics")).text

    get = '{method="GET",route="/api/v1/tasks/{task_id}",status="2xx"}'
    assert f"taskflow_http_requests_total{get} 1.0" in text
    assert 'route="(none)",status="4xx"' in text
    assert task["id"] not in text
    assert "else" not in text
    assert 'taskflow_db_pool{state="size"}' in text


async def test_cors_is_for_the_named_origins_only(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> None:
    http = HttpSettings(TASKFLOW_CORS_ORIGINS="https://app.example.com")
    async with Api.started(api_settings(database_settings, redis_settings, http=http)) as api:
        for origin, allowed in (("https://app.example.com", True), ("https://evil.example", False)):
            answer = await api.client.get("/livez", headers={"origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed


async def test_ready_until_it_leaves(api: Api) -> None:
    assert (await api.client.get("/readyz")).status_code == 200

    api.drain.begun = True

    assert (await api.client.get("/readyz")).status_code == 503
    assert (await api.client.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    "older", ["delete from alembic_version", "update alembic_version set version_num = '0000'"]
)
async def test_not_ready_on_an_older_schema(
    api: Api, monkeypatch: pytest.MonkeyPatch, older: str
) -> None:
    known = ("0001", frozenset({"0000", "0001"}))
    monkeypatch.setattr("taskflow_api.health.checks._schema", lambda: known)
    assert (await api.client.get("/readyz")).status_code == 200
    await api.resources.database.fetch(older)

    answer = await api.client.get("/readyz")

    assert answer.status_code == 503
    assert "taskflow db migrate" in answer.text


async def test_ready_while_a_later_release_is_rolled_out(api: Api) -> None:
    await api.resources.database.fetch("update alembic_version set version_num = 'future'")

    assert (await api.client.get("/readyz")).status_code == 200


async def test_probes_are_answered_in_a_second_though_the_servers_are_frozen(
    tmp_path: Path,
) -> None:
    with (
        EmbeddedPostgres(tmp_path / "pg" / "data", settings={"fsync": "off"}) as postgres,
        EmbeddedValkey(tmp_path / "valkey" / "data") as valkey,
    ):
        migrations.upgrade(postgres.url())
        database = DatabaseSettings(DATABASE_URL=SecretStr(postgres.url()), TASKFLOW_DB_POOL_SIZE=1)
        redis = RedisSettings(REDIS_URL=SecretStr(valkey.url), TASKFLOW_REDIS_TIMEOUT_S=5)
        async with Api.started(api_settings(database, redis)) as api:
            assert (await api.client.get("/readyz")).status_code == 200
            ((backend,),) = await api.resources.database.fetch("select pg_backend_pid()")
            assert valkey.process is not None
            frozen = (backend, valkey.process.pid)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                for path in ("/readyz", "/healthz"):
                    started = time.monotonic()
                    assert (await api.client.get(path)).status_code == 503
                    assert time.monotonic() - started < 1.5
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)

            async def ready() -> int:
                return (await api.client.get("/readyz")).status_code

            await eventually(ready, lambda status: status == 200, what="readiness")


async def test_details_name_each_dependency(api: Api) -> None:
    body = (await api.client.get("/healthz")).json()

    assert body["status"] == "healthy"
    assert body["checks"]["database"]["ok"]
    assert body["checks"]["redis"]["ok"]


async def test_without_postgresql_it_says_so_at_once_and_comes_back_by_itself(
    tmp_path: Path, redis_settings: RedisSettings
) -> None:
    with EmbeddedPostgres(tmp_path / "pg", settings={"fsync": "off"}) as postgres:
        migrations.upgrade(postgres.url())
        settings = DatabaseSettings(DATABASE_URL=SecretStr(postgres.url()), TASKFLOW_DB_POOL_SIZE=2)
        async with Api.started(api_settings(settings, redis_settings)) as api:
            user = await api.register()
            postgres.stop()

            for path in ("/auth/me", "/tasks", "/users"):
                api.resources.liveness.forget()
                started = time.monotonic()
                answer = await user.get(path)
                assert time.monotonic() - started < 3
                problem_of(answer, 503, "unavailable")
                assert answer.headers["retry-after"] == "1"
            login = await api.post("/auth/login", {"email": user.email, "password": "x"})
            problem_of(login, 503, "unavailable")
            assert (await api.client.get("/readyz")).status_code == 503
            assert (await api.client.get("/healthz")).json()["status"] == "unhealthy"
            assert (await api.client.get("/livez")).status_code == 200

            await asyncio.to_thread(postgres.start)

            async def ready() -> int:
                return (await api.client.get("/readyz")).status_code

            await eventually(ready, lambda status: status == 200, what="readiness")
            assert (await user.get("/auth/me")).status_code == 200


async def test_without_valkey_tasks_are_created_and_read(
    tmp_path: Path, database_settings: DatabaseSettings
) -> None:
    with EmbeddedValkey(tmp_path / "valkey") as valkey:
        settings = RedisSettings(REDIS_URL=SecretStr(valkey.url))
        async with Api.started(api_settings(database_settings, settings)) as api:
            user = await api.register()
            valkey.stop()

            created = await user.post("/tasks", {"title": "t", "handler": "echo"})

            assert created.status_code == 201
            assert (await user.get(f"/tasks/{created.json()['id']}")).status_code == 200
            assert (await api.client.get("/readyz")).status_code == 200
            assert (await api.client.get("/healthz")).json()["status"] == "degraded"


async def test_other_protocols_pass_through() -> None:
    seen: list[object] = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    await Edge(app, metrics=None)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]  # not used

    assert seen == [{"type": "lifespan"}]


async def test_a_body_of_very_many_fields_is_refused_as_one(api: Api) -> None:
    answer = await api.post("/auth/login", {f"k{n}": n for n in range(50_000)})

    assert problem_of(answer, 422)["errors"] == [
        {"pointer": "", "detail": "must have at most 100 fields"}
    ]


async def test_whoever_leaves_during_an_upload_is_no_failure_of_ours(api: Api) -> None:
    sent: list[Message] = []

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    path = "/api/v1/auth/login"
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "client": None,
        "server": ("test", 80),
        "root_path": "",
        "state": {"resources": api.resources},
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"9")],
    }

    await api.app(scope, gone, send)

    assert sent == []
    text = (await api.client.get("/metrics")).text
    assert f'route="{path}",status="cut"' in text
    assert 'status="5xx"' not in text


@pytest.mark.parametrize("declared", [True, False])
async def test_a_client_that_writes_all_before_it_reads_sees_the_413(
    api: Api,
    declared: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    chunks, taken = [b"x" * 1_000_000] * 10, 0

    async def upload() -> AsyncIterator[bytes]:
        nonlocal taken
        for chunk in chunks:
            taken += 1
            yield chunk

    headers = {"content-type": "application/json"}
    if declared:
        headers["content-length"] = "10000000"
    answer = await api.client.post("/api/v1/auth/login", content=upload(), headers=headers)

    problem_of(answer, 413, "too-large")
    assert taken == len(chunks)
