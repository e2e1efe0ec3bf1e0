"""Logs: one line per fact, the same for our events and for libraries', and no secret in any."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from taskflow_core.settings import LogSettings
from taskflow_core.telemetry.logging import configure, hide_secrets


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def facts(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "logs go to stderr: stdout is a command's answer"
    return [json.loads(line) for line in captured.err.splitlines()]


def json_logs(**bound: str) -> None:
    configure(LogSettings(TASKFLOW_LOG="json"), **bound)


def test_a_fact_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs(component="worker", replica="r-1")

    structlog.get_logger().info("worker.claim_lost", flow="default", tasks=3, text="two\nlines")

    (fact,) = facts(capsys)
    assert fact.pop("timestamp").endswith("Z")
    assert fact == {
        "event": "worker.claim_lost",
        "level": "info",
        "component": "worker",
        "replica": "r-1",
        "flow": "default",
        "tasks": 3,
        "text": "two\nlines",
    }


def test_context_stands_in_every_line_while_it_is_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logs()
    log = structlog.get_logger()

    with structlog.contextvars.bound_contextvars(request_id="r-7"):
        log.info("inside")
    log.info("outside")

    inside, outside = facts(capsys)
    assert inside["request_id"] == "r-7"
    assert "request_id" not in outside


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(TASKFLOW_LOG="json", TASKFLOW_LOG_LEVEL="warning"))

    structlog.get_logger().info("unheard")
    structlog.get_logger().warning("heard")

    assert [fact["event"] for fact in facts(capsys)] == ["heard"]


def test_libraries_that_use_logging_speak_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    json_logs(component="api")

    logging.getLogger("some.library").warning("cannot reach %s", "redis://:hunter2@host")
    logging.getLogger("some.library").info("chatter")

    (fact,) = facts(capsys)
    assert fact["event"] == "cannot reach redis://[hidden]@host"
    assert (fact["level"], fact["logger"]) == ("warning", "some.library")
    assert fact["component"] == "api"


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("library", [True, False])
def test_a_traceback_shows_no_local_variable(
    form: str,
    library: bool,  # noqa: FBT001 - a case
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings.model_validate({"TASKFLOW_LOG": form}))
    log = logging.getLogger("some.library") if library else structlog.get_logger()

    def log_in(password: str) -> None:
        raise RuntimeError("no such user")

    word = "hunter2"
    try:
        log_in(word)
    except RuntimeError:
        log.exception("login.failed")

    written = capsys.readouterr().err
    assert "login.failed" in written
    assert "no such user" in written
    assert "in log_in" in written or '"name": "log_in"' in written
    assert "hunter2" not in written


def test_an_exception_is_one_line_of_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs()

    def connect() -> None:
        raise ValueError("bad url postgresql://app:hunter2@db/app")

    try:
        connect()
    except ValueError:
        structlog.get_logger().exception("failed")

    (fact,) = facts(capsys)
    (exception,) = fact["exception"]
    assert exception["exc_type"] == "ValueError"
    assert exception["exc_value"] == "bad url postgresql://[hidden]@db/app"


def test_values_that_are_no_json_do_not_stop_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs()

    structlog.get_logger().info("odd", value=object, lone="\ud800", number=10**30)

    (fact,) = facts(capsys)
    assert fact["value"] == "<class 'object'>"
    assert fact["number"] == 10**30


@pytest.mark.parametrize(
    "key",
    ["password", "new_password", "refresh_token", "Authorization", "set-cookie", "payload"],
)
def test_keys_that_sound_secret_are_blank_at_any_depth(key: str) -> None:
    event = {"event": "x", key: "hunter2", "request": {"headers": [{key: ["hunter2"]}, "seen"]}}

    cleaned = hide_secrets(None, "info", event)

    assert cleaned[key] == "[hidden]"
    assert cleaned["request"] == {"headers": [{key: "[hidden]"}, "seen"]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://app:hunter2@db:5432/app?x=1", "postgresql://[hidden]@db:5432/app?x=1"),
        ("redis://:hunter2@host", "redis://[hidden]@host"),
        ("https://user:p@ss@host/path@2", "https://[hidden]@host/path@2"),
        ("got Bearer eyJhbGciOi.x.y here", "got Bearer [hidden] here"),
        ("https://host/path", "https://host/path"),
        ("mail to a@example.com", "mail to a@example.com"),
    ],
)
def test_credentials_in_text_are_blank_wherever_they_stand(text: str, shown: str) -> None:
    event = {"event": text, "inner": {"list": (text,)}}

    assert hide_secrets(None, "info", event) == {"event": shown, "inner": {"list": [shown]}}


def test_a_structure_that_contains_itself_ends(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs()
    loop: list[Any] = []
    loop.append({"again": loop})

    structlog.get_logger().info("x", loop=loop)

    assert "[too deep]" in capsys.readouterr().err


def test_the_callers_structures_are_left_as_they_are() -> None:
    headers = {"authorization": "Bearer x"}

    hide_secrets(None, "info", {"event": "x", "headers": headers})

    assert headers == {"authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("chosen", "terminal", "is_json"),
    [
        (None, False, True),
        (None, True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_a_terminal_gets_the_console_form_unless_told_otherwise(
    chosen: str | None,
    terminal: bool,  # noqa: FBT001 - a case
    is_json: bool,  # noqa: FBT001 - a case
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure(LogSettings.model_validate({"TASKFLOW_LOG": chosen}))

    structlog.get_logger().info("worker.started", slots=20)

    written = capsys.readouterr().err
    assert written.startswith("{") == is_json
    assert "worker.started" in written


def test_configuring_twice_does_not_write_twice(capsys: pytest.CaptureFixture[str]) -> None:
    json_logs()
    json_logs()

    logging.getLogger("some.library").error("once")
    structlog.get_logger().error("once")

    assert len(facts(capsys)) == 2
