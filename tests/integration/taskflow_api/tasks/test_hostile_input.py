"""Whatever is sent to the routes of tasks, the answer is a 4xx problem that does not repeat it."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskflow_api.tasks.schemas import TaskCreate, TaskPatch
from taskflow_core.ids import new_id
from tests.support.api import Person, pointers, problem_of

MARK = "0xDEADBEEF"
JSON = {"content-type": "application/json"}
DEEP = b'{"title":"t","handler":"echo","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


async def send(
    person: Person, content: bytes, *, method: str = "POST", path: str = "/tasks", **headers: str
) -> httpx.Response:
    return await person.call(method, path, content=content, headers=JSON | headers)


@pytest.fixture
async def path(user: Person) -> str:
    """The path of a task."""
    answer = await user.post("/tasks", {"title": "t"})
    return f"/tasks/{answer.json()['id']}"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"{}",
        b'{"title": NaN}',
        b'{"title": "t", "handler": "echo", "payload": NaN}',
        b'{"title": "t", "handler": "echo", "payload": Infinity}',
        b'{"title": "t", "handler": "echo", "payload": 1e400}',
        b'{"title": "t", "handler": "echo", "timeout_s": 1e400}',
        b'{"title": "t", "handler": "echo", "payload": 123456789012345678901234567890}',
        b'{"title": "\\ud800"}',
        b'{"title": "t", "handler": "echo", "payload": "\\ud800"}',
        b'{"title": "t", "handler": "echo", "payload": {"\\udfff": 1}}',
        b'{"title": "\\u0000"}',
        b'{"title": "t", "handler": "echo", "payload": "\\u0000"}',
        b'{"title": "t", "handler": "echo", "payload": {"a\\u0000": 1}}',
        b'{"title": "t", "description": "\\u0000"}',
        b'{"title": "\xff\xfe"}',
        b"\xef\xbb\xbf" + b'{"title": "t"}',
        b'{"title": "t"} trailing',
        b'{"title": "t",}',
        b"{'title': 't'}",
        b"\x00\x01\x02\xff",
        b"title=t",
        DEEP,
    ],
)
async def test_a_body_that_is_no_task_is_refused(user: Person, content: bytes) -> None:
    answer = await send(user, content)

    assert answer.status_code in {400, 422}, answer.text
    problem_of(answer, answer.status_code)
    assert (await user.get("/tasks")).json()["data"] == []


@pytest.mark.parametrize("content", [b"[]", b"null", b"{", b'{"title": NaN}', b'{"x": 1}', DEEP])
@pytest.mark.parametrize(("method", "below"), [("PATCH", ""), ("POST", "/assign")])
async def test_a_body_that_is_no_change_is_refused(
    user: Person, path: str, content: bytes, method: str, below: str
) -> None:
    answer = await send(user, content, method=method, path=path + below)

    assert answer.status_code in {400, 422}, answer.text
    problem_of(answer, answer.status_code)


async def test_a_body_of_ten_megabytes_is_refused(user: Person, path: str) -> None:
    body = json.dumps({"title": "t", "description": "x" * 10_000_000}).encode()

    problem_of(await send(user, body), 413, "too-large")
    problem_of(await send(user, body, method="PATCH", path=path), 413, "too-large")


async def test_a_body_must_say_that_it_is_json(user: Person) -> None:
    for kind in (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ):
        answer = await user.call(
            "POST", "/tasks", content=b'{"title": "t"}', headers={"content-type": kind}
        )
        problem_of(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", {"a": MARK}),
        ("title", MARK * 100),
        ("title", f"{MARK}\u0007"),
        ("description", [MARK]),
        ("priority", MARK),
        ("due_at", MARK),
        ("due_at", "99999-01-01T00:00:00Z"),
        ("due_at", "2030-01-01T00:00:00"),
        ("due_at", 1e18),
        ("assignee_id", MARK),
        ("flow", MARK),
        ("handler", f"{MARK} {MARK}"),
        ("run_at", True),
        ("max_attempts", MARK),
        ("max_attempts", 2**40),
        ("timeout_s", -1),
    ],
)
async def test_a_field_that_cannot_be_is_named_and_not_repeated(
    user: Person, field: str, value: Any
) -> None:
    answer = await user.post("/tasks", {"title": "t", "handler": "echo"} | {field: value})

    assert pointers(answer) == {f"/{field}"}
    assert MARK not in answer.text


async def test_an_unknown_field_is_refused_and_not_repeated(user: Person, path: str) -> None:
    for answer in (
        await user.post("/tasks", {"title": "t", MARK: MARK}),
        await user.patch(path, {MARK: MARK}),
        await user.post(f"{path}/assign", {"assignee_id": None, MARK: MARK}),
    ):
        problem_of(answer, 422, "validation")
        assert MARK not in answer.text


async def test_fields_that_only_the_machinery_sets_cannot_be_set(user: Person, path: str) -> None:
    for field, value in (
        ("id", str(new_id())),
        ("owner_id", str(new_id())),
        ("version", 7),
        ("attempt", 7),
        ("result", {}),
        ("created_at", "2030-01-01T00:00:00Z"),
    ):
        problem_of(await user.post("/tasks", {"title": "t", field: value}), 422, "validation")
        problem_of(await user.patch(path, {field: value}), 422, "validation")
    problem_of(await user.patch(path, {"assignee_id": user.id}), 422, "validation")


@pytest.mark.parametrize(
    "id_",
    ["1", "x", "%00", "..%2f", "%ff", "00000000-0000-0000-0000-00000000000", "'%20or%201=1--"],
)
async def test_an_id_that_is_none_is_refused(user: Person, id_: str) -> None:
    for answer in (
        await user.get(f"/tasks/{id_}"),
        await user.patch(f"/tasks/{id_}", {"title": "x"}),
        await user.delete(f"/tasks/{id_}"),
        await user.post(f"/tasks/{id_}/assign", {"assignee_id": None}),
        await user.post(f"/tasks/{id_}/cancel"),
        await user.get(f"/tasks/{id_}/events"),
    ):
        assert answer.status_code in {404, 422}, answer.text
        problem_of(answer, answer.status_code)
        assert "or 1=1" not in answer.text


async def test_text_is_stored_as_it_was_given(user: Person) -> None:
    text = "<script>alert('x')</script> {{7*7}} ' or 1=1; -- \\ % _ \u202e 🧨 \u0130"
    answer = await user.post(
        "/tasks",
        {
            "title": text,
            "description": f"{text}\r\n\tnext",
            "handler": "echo",
            "payload": {text: text},
        },
    )

    task = (await user.get(f"/tasks/{answer.json()['id']}")).json()

    assert (task["title"], task["payload"]) == (text, {text: text})
    assert task["description"] == f"{text}\r\n\tnext"
    assert len((await user.get("/tasks", params={"search": text})).json()["data"]) == 1


async def test_numbers_of_payloads_come_back_as_they_went(user: Person) -> None:
    payload: list[Any] = [0, -1, 2**63 - 1, 2**64 - 1, 1.5, 1e-300, 0.1, True, None, "", [], {}]

    answer = await user.post("/tasks", {"title": "t", "handler": "echo", "payload": payload})

    assert answer.json()["payload"] == payload
    assert (await user.get(f"/tasks/{answer.json()['id']}")).json()["payload"] == payload


async def test_large_numbers_come_back_without_an_exponent(user: Person) -> None:
    """PostgreSQL writes all 301 digits; whoever reads numbers as doubles sees the same one."""
    answer = await user.post("/tasks", {"title": "t", "handler": "echo", "payload": 1e300})

    read = await user.get(f"/tasks/{answer.json()['id']}")

    assert json.loads(read.text, parse_int=float)["payload"] == 1e300


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_names = st.sampled_from([*TaskCreate.model_fields, *TaskPatch.model_fields])


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.dictionaries(_names, _json), patch=st.dictionaries(_names, _json))
async def test_no_body_whatever_ends_in_a_failure_of_ours(
    user: Person, path: str, body: dict[str, Any], patch: dict[str, Any]
) -> None:
    """`json.dumps` also writes NaN, infinities and lone surrogates."""
    for method, where, sent in (("POST", "/tasks", {"title": "t"} | body), ("PATCH", path, patch)):
        answer = await send(user, json.dumps(sent).encode(), method=method, path=where)

        assert answer.status_code in {200, 201, 400, 409, 422}, answer.text
