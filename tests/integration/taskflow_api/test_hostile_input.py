"""Whatever is sent to any route, the answer is a problem of the 4xx kind that repeats none of it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from taskflow_api.openapi import document
from taskflow_core.ids import new_id
from taskflow_core.settings import DatabaseSettings, RedisSettings
from tests.support.api import Api, Person, api_settings, problem_of

MARK = "zq7marker"  # in all that is sent; must come back in nothing
_JSON = {"content-type": "application/json"}

UNREADABLE: dict[str, tuple[bytes, dict[str, str]]] = {
    "not a number": (b'{"title": NaN, "zq7marker": 1}', _JSON),
    "infinite": (b'{"title": 1e400, "zq7marker": 1}', _JSON),
    "half a surrogate pair": (b'{"title": "zq7marker\\ud800"}', _JSON),
    "binary": (b"\xff\xfe\x00\x01zq7marker", _JSON),
    "nothing": (b"", _JSON),
    "cut off": (b'{"zq7marker": ', _JSON),
    "trailing": (b'{"title": "zq7marker"} x', _JSON),
    "deep": (b'{"payload": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", _JSON),
    "huge number": (b'{"title": ' + b"9" * 5_000 + b"}", _JSON),
    "a list": (b'["zq7marker"]', _JSON),
    "a string": (b'"zq7marker"', _JSON),
    "null": (b"null", _JSON),
    "unknown field": (b'{"zq7marker": "zq7marker"}', _JSON),
    "ten megabytes": (b'{"title": "' + b"zq7marker" * 1_165_085 + b'"}', _JSON),
    "multipart": (
        b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nzq7marker\r\n--b--\r\n',
        {"content-type": "multipart/form-data; boundary=b"},
    ),
    "a form": (b"title=zq7marker", {"content-type": "application/x-www-form-urlencoded"}),
    "no type": (b'{"title": "zq7marker"}', {}),
}
WRONG_VALUES: list[Any] = [
    "zq7marker\x00",
    "zq7marker" * 2_000,
    ["zq7marker"],
    {"zq7marker": "zq7marker"},
    -(10**15),
    1.5,
    True,
    "zq7marker\x1b[31m",
]


def operations(method_has_body: bool) -> Iterator[tuple[str, str, dict[str, Any]]]:  # noqa: FBT001
    """Yield method, path and description of each route of the document."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if ("requestBody" in operation) == method_has_body:
                yield method.upper(), path, operation


def filled(path: str, value: str | None = None) -> str:
    """Put a value (a new id) in place of each parameter of a path."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + (value or str(new_id())) + rest.partition("}")[2]
    return path


def assert_refused(answer: httpx.Response) -> None:
    assert 400 <= answer.status_code < 500, answer.text
    problem_of(answer, answer.status_code)
    assert MARK not in answer.text
    assert "psycopg" not in answer.text
    assert "pydantic" not in answer.text


@pytest.fixture
async def api(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> AsyncIterator[Api]:
    async with Api.started(api_settings(database_settings, redis_settings)) as started:
        yield started


@pytest.fixture
async def admin(api: Api) -> Person:
    return await api.register_as("admin")


def _target(path: str, admin: Person, task: str) -> str:
    """Address something that exists, so that the body is what is wrong."""
    return path.replace("{user_id}", admin.id).replace("{task_id}", task)


@pytest.fixture
async def task(admin: Person) -> str:
    created = (await admin.post("/tasks", {"title": "t"})).json()
    id_: str = created["id"]
    return id_


@pytest.mark.parametrize("kind", UNREADABLE)
async def test_a_body_that_is_no_such_object_is_refused_by_every_route(
    api: Api, admin: Person, task: str, kind: str
) -> None:
    body, headers = UNREADABLE[kind]
    for method, path, _ in operations(method_has_body=True):
        answer = await api.client.request(
            method, _target(path, admin, task), content=body, headers=admin.headers | headers
        )
        assert_refused(answer)


@pytest.mark.parametrize("value", WRONG_VALUES, ids=repr)
async def test_a_wrong_value_in_any_field_is_named_and_refused(
    api: Api, admin: Person, task: str, value: object
) -> None:
    schemas = document()["components"]["schemas"]
    for method, path, operation in operations(method_has_body=True):
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = schemas[reference.rpartition("/")[2]]
        # the rest is right where there is an example: else a missing field would hide what is wrong
        (example, *_) = schema.get("examples", [{}])
        for name, field in schema["properties"].items():
            answer = await api.client.request(
                method,
                _target(path, admin, task),
                json=example | {name: value},
                headers=admin.headers,
            )
            if _accepts(name, field, value):
                assert answer.status_code < 500, (path, name, answer.text)
                continue
            assert_refused(answer)
            assert any(
                error["pointer"].split("/")[1:2] == [name] for error in answer.json()["errors"]
            ), (path, name, answer.text)


def _accepts(name: str, field: dict[str, Any], value: object) -> bool:
    """Tell whether a field takes a value after all: any JSON, any password, any boolean."""
    if name == "payload":
        return value != "zq7marker\x00"
    if "password" in name or name == "refresh_token":
        return isinstance(value, str)
    if name == "email":  # no value is an address, and none is even a line for a login
        return False
    types = {branch.get("type") for branch in (field, *field.get("anyOf", ()))}
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, float):
        return "number" in types
    return False


@pytest.mark.parametrize(
    "value", ["zq7marker", "%00", "0", "..%2f..%2fetc", "%F0%9F%94%91", "a" * 3_000], ids=repr
)
async def test_a_malformed_id_is_refused_by_every_route(
    api: Api, admin: Person, value: str
) -> None:
    for has_body in (True, False):
        for method, path, _ in operations(method_has_body=has_body):
            if "{" in path:
                answer = await api.client.request(
                    method, filled(path, value), headers=admin.headers
                )
                assert_refused(answer)


async def test_an_id_of_nothing_is_not_found_by_every_route(api: Api, admin: Person) -> None:
    for method, path, _ in operations(method_has_body=False):
        if "{" in path:
            answer = await api.client.request(method, filled(path), headers=admin.headers)
            problem_of(answer, 404)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=zq7marker", "limit=1e400", "cursor=zq7marker", "zq7marker=1"],
)
async def test_a_bad_query_is_refused_by_every_list(api: Api, admin: Person, query: str) -> None:
    lists = ("/api/v1/tasks", "/api/v1/users")
    for path in lists:
        answer = await api.client.get(f"{path}?{query}", headers=admin.headers)
        assert_refused(answer)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith("/query")


async def test_a_body_that_grows_too_large_is_refused_without_a_length(
    api: Api, admin: Person
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100_000

    answer = await api.client.post("/api/v1/tasks", content=chunks(), headers=admin.headers | _JSON)

    problem_of(answer, 413, "too-large")


async def test_unknown_paths_and_methods_are_problems_too(api: Api) -> None:
    problem_of(await api.client.get(f"/api/v1/{MARK}"), 404)
    answer = await api.client.put("/api/v1/tasks", json={})
    problem_of(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}


async def test_every_route_but_the_public_ones_asks_who_is_there(api: Api) -> None:
    public = {"register", "login", "refresh", "logout"}
    for has_body in (True, False):
        for method, path, operation in operations(method_has_body=has_body):
            if path.startswith("/api/") and operation["operationId"] not in public:
                answer = await api.client.request(method, filled(path), json={})
                problem_of(answer, 401, "unauthenticated")
