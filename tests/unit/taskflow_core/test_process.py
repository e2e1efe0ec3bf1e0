"""Settings that cannot be read, and signals that end a process."""

import asyncio
import os
import signal

import pytest

from taskflow_core.process import replica_name, settings_or_exit, stop_signals
from taskflow_core.settings import AuthSettings, DatabaseSettings, HttpSettings, RedisSettings


def complaints(capsys: pytest.CaptureFixture[str], *classes: type) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        settings_or_exit(*classes)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_good_settings_are_returned_in_the_order_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/x")
    monkeypatch.setenv("TASKFLOW_PORT", "8123")

    http, database = settings_or_exit(HttpSettings, DatabaseSettings)

    assert http.port == 8123
    assert database.url.get_secret_value() == "postgresql://localhost/x"


def test_each_bad_variable_of_every_class_gets_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://user:hunter2@db/x")
    monkeypatch.setenv("TASKFLOW_DB_POOL_SIZE", "many")

    database_url, pool_size, redis_url = complaints(capsys, DatabaseSettings, RedisSettings)

    assert database_url.startswith("DATABASE_URL: must start with postgresql:// (PostgreSQL URL")
    assert pool_size.startswith("TASKFLOW_DB_POOL_SIZE: Input should be a valid integer")
    assert redis_url.startswith("REDIS_URL: is required but not set (Redis or Valkey URL")
    assert "hunter2" not in database_url + pool_size + redis_url


def test_a_complaint_about_a_whole_class_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TASKFLOW_JWT_KEYS", "first:c2hvcnQ")

    (sentence,) = complaints(capsys, AuthSettings)

    assert sentence.startswith("TASKFLOW_JWT_KEYS: key first has 5 bytes")
    assert "c2hvcnQ" not in sentence


def test_a_variable_that_two_classes_read_is_complained_about_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(complaints(capsys, RedisSettings, RedisSettings)) == 1


def test_a_replica_is_named_as_configured_or_after_its_process() -> None:
    assert replica_name("worker-7") == "worker-7"
    assert replica_name("").endswith(f"-{os.getpid()}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event(number: signal.Signals) -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)


async def test_only_the_first_signal_is_held_back() -> None:
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(stop.wait(), 5)

        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
