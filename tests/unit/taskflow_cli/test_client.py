"""The small client of the API, against answers made up here."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskflow_cli.client import Client
from taskflow_cli.errors import BadInputError, CommandError

URL = "http://api.test"
TASK = {
    "id": "t",
    "title": "t",
    "status": "PENDING",
    "flow": "default",
    "handler": "echo",
    "attempt": 0,
    "created_at": "2026-01-01T00:00:00Z",
    "something_new": [1],
}


def client(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client(URL, transport=httpx.MockTransport(answer))


def test_a_login_is_sent_with_what_follows() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        if request.url.path == "/api/v1/auth/login":
            return httpx.Response(200, json={"access_token": "secret", "expires_in": 900})
        return httpx.Response(201, json=TASK)

    with client(answer) as api:
        api.login("a@b.c", "p")
        api.create({"title": "t"})

    assert seen == [None, "Bearer secret"]


def test_a_submission_knows_when_it_was_sent_and_answered() -> None:
    with client(lambda _: httpx.Response(201, json=TASK)) as api:
        submission = api.create({"title": "t"})

    assert submission.sent_at <= submission.answered_at
    assert submission.task.status == "PENDING"


def test_a_task_is_followed_until_it_has_ended_more_and_more_slowly() -> None:
    states = iter(["PENDING", *["IN_PROGRESS"] * 30, "COMPLETED"])
    pauses: list[float] = []

    with client(lambda _: httpx.Response(200, json=TASK | {"status": next(states)})) as api:
        seen = [task.status for task in api.follow("t", sleep=pauses.append)]

    assert (seen[0], seen[-1], len(seen)) == ("PENDING", "COMPLETED", 32)
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.005, 0.5)


PROBLEM = {
    "title": "The request has fields that cannot be accepted",
    "errors": [{"pointer": "/priority", "detail": "must be high, medium or low"}],
}


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (422, PROBLEM, BadInputError, "/priority: must be high, medium or low"),
        (400, {"title": "Cannot be read", "detail": "Not JSON."}, BadInputError, "Not JSON."),
        (401, {"title": "Log in first"}, CommandError, "Log in first. Use --email"),
        (403, {"title": "Your role does not allow this"}, CommandError, "403: Your role"),
        (502, None, CommandError, "502: Bad Gateway"),
    ],
)
def test_a_refusal_becomes_one_sentence_of_the_right_kind(
    status: int, body: dict[str, Any] | None, kind: type[Exception], sentence: str
) -> None:
    answer = httpx.Response(status, json=body) if body else httpx.Response(status, text="<html>")

    with client(lambda _: answer) as api, pytest.raises(kind) as raised:
        api.create({"title": "t"})

    assert type(raised.value) is kind
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_limit_says_when_to_try_again() -> None:
    answer = httpx.Response(429, json={"title": "Too many"}, headers={"retry-after": "12"})

    with client(lambda _: answer) as api, pytest.raises(CommandError, match="again in 12 s"):
        api.task("t")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (httpx.ConnectError("Connection refused"), "taskflow up"),
        (httpx.ReadTimeout("slow"), "within 10 s"),
    ],
)
def test_an_api_that_is_away_is_said_to_be(error: Exception, sentence: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with client(answer) as api, pytest.raises(CommandError, match=sentence):
        api.task("t")


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://host:port"])
def test_what_is_no_url_is_bad_input(url: str) -> None:
    with pytest.raises(BadInputError, match="no URL of an API"), Client(url) as api:
        api.task("t")
