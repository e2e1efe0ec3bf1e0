"""`taskflow up` in the foreground: what is printed, what is kept, and that nothing stays behind."""

import asyncio
import re
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from taskflow_cli.local import state
from tests.integration.taskflow_cli.terminal import gone, up
from tests.support.stack import taskflow
from tests.support.waiting import eventually

READY = "stops all of it"


def count_tasks(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("select count(*) from tasks").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.timeout(240)
def test_from_start_to_ctrl_c_and_again(tmp_path: Path) -> None:
    data = tmp_path / "my data"
    with up(data) as first:
        text = first.read_until(READY)
        running = state.read(data / "state.json")
        assert running is not None
        assert running.database_url is not None
        started = first.processes()
        for part in ("PostgreSQL 18", "Valkey 9", "schema 0", "API", "dispatcher", "2 workers"):
            assert f"✓ {part}" in text or part in text
        assert re.search(r"durable [\d.]+ m?s", text)
        assert re.search(r'started .* COMPLETED .* \{"n": 1\}', text)
        pasted = "\n".join(
            line for line in text.splitlines() if line.startswith(("  TOKEN=", "  curl "))
        )
        created = subprocess.run(
            ["bash", "-c", pasted], capture_output=True, text=True, check=True, timeout=30
        ).stdout
        assert '"hello"' in created
        kept = count_tasks(running.database_url)
        assert len(started) >= 7

        first.process.send_signal(signal.SIGINT)
        assert first.ended() == 0

    assert gone(started) == []
    assert "nothing is left running" in first.text
    assert not (data / "state.json").exists()
    assert not (data / "lock").exists()
    assert not any(path.is_socket() for path in data.rglob("*"))

    with up(data, terminal=True) as second:
        second.read_until("workers 2/2")  # the live line
        running = state.read(data / "state.json")
        assert running is not None
        assert running.database_url is not None
        assert count_tasks(running.database_url) > kept, "what was there, and the new sample"
        started = second.processes()

        second.process.send_signal(signal.SIGTERM)
        assert second.ended() == 0

    assert gone(started) == []


@pytest.mark.timeout(240)
def test_a_killed_run_leaves_nothing_and_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("TASKFLOW_GRACE_S", "100")  # a worker with a task will not leave by itself
    with up(data) as first:
        first.read_until(READY)
        started = first.processes()
        busy = start_a_nap(data)
        first.process.kill()
        assert gone([one for one in started if one.pid != busy.pid], within_s=30) == []

    with up(data) as second:
        second.read_until(READY)
        # it left by itself when it found no database, or the second run ended it
        assert gone([busy], within_s=1) == []
        started = second.processes()
        start_a_nap(data)
        second.process.send_signal(signal.SIGINT)
        second.read_until("stopping")
        second.process.send_signal(signal.SIGINT)
        assert second.ended(within_s=5) == 1, "a second Ctrl-C does not wait for anybody"

    assert gone(started) == []


def start_a_nap(data: Path) -> psutil.Process:
    """Give a worker something that takes its time; return that worker."""
    nap = ("submit", "sleep", "--payload", '{"seconds": 600}', "--no-watch", "--data", str(data))
    assert taskflow(*nap).returncode == 0
    running = state.read(data / "state.json")
    assert running is not None
    assert running.database_url is not None
    with psycopg.connect(running.database_url, autocommit=True) as connection:

        async def look() -> list[tuple[object, ...]]:
            return connection.execute(
                "select s.replica from tasks t join worker_sessions s on s.id = t.worker"
                " where t.handler = 'sleep' and s.ended_at is null"
            ).fetchall()

        replica = asyncio.run(eventually(look, bool, what="a worker at the task"))[0][0]
    (pid,) = (part.pid for part in running.parts if part.name == replica)
    return psutil.Process(pid)


@pytest.mark.timeout(120)
def test_a_database_of_yours_gets_no_logins_and_a_lost_terminal_ends_it_in_order(
    tmp_path: Path, empty_database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with up(tmp_path / "data", "--workers", "1", terminal=True) as session:
        text = session.read_until(READY)
        written = (tmp_path / "data" / "state.json").read_text()
        started = session.processes()
        assert session.hang_up() == 0

    assert gone(started) == []
    assert "(yours)" in text
    assert "--seed" in text
    assert "user123" not in text
    assert empty_database_url not in written, "it may hold a password"
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select count(*) from users").fetchone() == (0,)
        assert connection.execute("select count(*) from tasks").fetchone() == (0,)
