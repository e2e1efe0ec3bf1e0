"""What a log line may show."""

import json
import logging

import pytest
import structlog

from taskflow_core.settings import LogSettings
from taskflow_core.telemetry.logging import configure

SECRET = "correct-horse"


def fail_with_secrets() -> None:
    password = SECRET  # a local variable, as in any handler
    raise ValueError(f"not {len(password)}")


@pytest.fixture(autouse=True)
def undo() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_traceback_shows_no_local_variables(
    format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogSettings(TASKFLOW_LOG=format_))
    try:
        fail_with_secrets()
    except ValueError:
        structlog.get_logger().exception("test.failed")
        logging.getLogger("library").exception("it failed")

    printed = capsys.readouterr().err
    assert printed.count("fail_with_secrets") >= 2
    assert SECRET not in printed.replace("password = SECRET", "")


def test_what_sounds_like_a_secret_is_hidden_and_what_is_bound_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(LogSettings(TASKFLOW_LOG="json"), component="worker")

    structlog.get_logger().info("test.event", refresh_token=SECRET, tasks=3)

    line = json.loads(capsys.readouterr().err)
    assert (line["component"], line["tasks"], line["refresh_token"]) == ("worker", 3, "[hidden]")
