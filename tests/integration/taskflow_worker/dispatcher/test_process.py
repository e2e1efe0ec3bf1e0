"""The dispatcher as processes: killed, frozen, told to stop, wrongly configured."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from taskflow_cli.local.servers import EmbeddedPostgres
from taskflow_core.db.database import Database
from taskflow_core.db.link import Link
from taskflow_core.queue.window import Window
from tests.support.dispatcher import QUICK, dispatcher_process
from tests.support.queue import create, create_many
from tests.support.waiting import eventually

type Start = Callable[..., subprocess.Popen[bytes]]

_STARTS_S = 20.0  # a new interpreter on a busy machine


def log_of(folder: Path, replica: str) -> Path:
    return folder / f"{replica}.log"


@pytest.fixture
def start(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start replicas that end with the test."""
    with ExitStack() as stack:

        def begin(replica: str, *, quick: bool = True, **more: str) -> subprocess.Popen[bytes]:
            environment = {
                **os.environ,
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "TASKFLOW_REPLICA": replica,
                **more,
            }
            log = log_of(tmp_path, replica)
            return stack.enter_context(dispatcher_process(log, quick=quick, **environment))

        yield begin


async def leads(link: Link, replica: str) -> None:
    """Wait until a replica holds the lease."""

    async def holder() -> list[tuple[object, ...]]:
        return await link.fetch("select holder from leases where expires_at > now()")

    await eventually(holder, [(replica,)].__eq__, within_s=_STARTS_S, what=f"{replica}'s lease")


async def says(log: Path, event: str) -> None:
    """Wait until a replica has logged an event."""

    async def text() -> str:
        return await asyncio.to_thread(log.read_text)

    await eventually(text, lambda said: event in said, within_s=_STARTS_S, what=event)


async def is_published(window: Window, *ids: str) -> None:
    await eventually(lambda: window.task_ids("default"), set(ids).issubset)


async def test_a_killed_leader_is_followed_when_its_lease_runs_out(
    start: Start, database: Database, link: Link, window: Window, tmp_path: Path
) -> None:
    first = start("first")
    await leads(link, "first")
    start("second")
    await says(log_of(tmp_path, "second"), "dispatcher.started")
    await is_published(window, await create(database, publish=False))

    first.kill()
    killed_at = time.monotonic()
    await leads(link, "second")

    assert time.monotonic() - killed_at < QUICK.lease_ttl_s + 2
    await is_published(window, await create(database, publish=False))


async def test_a_frozen_leader_is_followed_and_writes_nothing_when_it_thaws(
    start: Start, database: Database, link: Link, window: Window, tmp_path: Path
) -> None:
    frozen = start("frozen")
    await leads(link, "frozen")
    await is_published(window, await create(database, publish=False))
    backends = await link.fetch(
        "select array_agg(pid) from pg_stat_activity where application_name = 'taskflow-dispatcher'"
    )
    frozen.send_signal(signal.SIGSTOP)
    start("awake")
    await leads(link, "awake")
    await link.fetch("create table writers (pid int, leader text)")
    await link.fetch(
        "create function note() returns trigger language plpgsql as"
        " 'begin insert into writers select pg_backend_pid(), holder from leases; return null; end'"
    )
    for table in ("tasks", "worker_sessions"):
        await link.fetch(
            f"create trigger note after update or delete on {table} execute function note()"
        )
    ids = await create_many(database, 20, publish=False)
    await is_published(window, *ids)

    frozen.send_signal(signal.SIGCONT)
    await says(log_of(tmp_path, "frozen"), "dispatcher.follows")
    ids += await create_many(database, 20, publish=False)
    await is_published(window, *ids)

    # on a machine with much to do it may lead again by and by, and then may write
    writers = {pid for (pid,) in await link.fetch("select pid from writers where leader = 'awake'")}
    assert writers
    assert not writers & set(backends[0][0])
    assert frozen.poll() is None, "it goes on as a follower"


async def test_a_leader_told_to_stop_leaves_with_success_within_two_seconds(
    start: Start, link: Link, database: Database, window: Window
) -> None:
    stopping = start("stopping", quick=False)
    await leads(link, "stopping")
    await is_published(window, await create(database, publish=False))

    stopping.send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    assert stopping.wait(10) == 0

    assert time.monotonic() - told_at < 2
    assert await link.fetch("select from leases where expires_at > now()") == []


async def test_a_replica_without_any_server_leaves_within_two_seconds_too(
    start: Start, tmp_path: Path
) -> None:
    alone = start(
        "alone",
        quick=False,
        DATABASE_URL="postgresql://nobody@192.0.2.1/none",  # TEST-NET-1: never answers
        REDIS_URL="redis://192.0.2.1:6379/0",
    )
    await says(log_of(tmp_path, "alone"), "dispatcher.started")

    alone.send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    assert alone.wait(10) == 0

    assert time.monotonic() - told_at < 2


async def test_a_replica_whose_postgresql_is_frozen_leaves_within_two_seconds_too(
    start: Start, tmp_path: Path, link: Link, postgres: EmbeddedPostgres
) -> None:
    stopping = start("stopping", quick=False)
    await leads(link, "stopping")
    backends = [
        pid
        for (pid,) in await link.fetch(
            "select pid from pg_stat_activity where application_name = 'taskflow-dispatcher'"
        )
    ]
    for pid in backends:
        os.kill(pid, signal.SIGSTOP)
    try:
        stopping.send_signal(signal.SIGTERM)
        told_at = time.monotonic()
        assert stopping.wait(10) == 0
        assert time.monotonic() - told_at < 2
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)


async def test_metrics_and_liveness_are_served_on_the_port_that_was_asked_for(
    start: Start, link: Link, tmp_path: Path
) -> None:
    start("served", TASKFLOW_METRICS_PORT="0")
    await leads(link, "served")
    await says(log_of(tmp_path, "served"), '"dispatcher.started"')
    found = re.search(r'"metrics_port": (\d+)', log_of(tmp_path, "served").read_text())
    assert found is not None
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{found[1]}") as client:
        assert (await client.get("/livez")).status_code == 200

        async def metrics() -> str:
            return (await client.get("/metrics")).text

        await eventually(metrics, lambda text: "taskflow_dispatcher_leader 1.0" in text)


def test_bad_settings_are_sentences_and_exit_code_2() -> None:
    environment = os.environ | {"REDIS_URL": "redis://x", "TASKFLOW_METRICS_PORT": "http"}

    done = subprocess.run(
        [sys.executable, "-m", "taskflow_worker.dispatcher"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 2
    sentences = done.stderr.splitlines()
    assert [sentence.split(":")[0] for sentence in sentences] == [
        "DATABASE_URL",
        "TASKFLOW_METRICS_PORT",
    ]


async def test_a_taken_metrics_port_is_a_sentence_and_exit_code_2(
    start: Start, link: Link, tmp_path: Path
) -> None:
    start("first", TASKFLOW_METRICS_PORT="0")
    await says(log_of(tmp_path, "first"), '"dispatcher.started"')
    found = re.search(r'"metrics_port": (\d+)', log_of(tmp_path, "first").read_text())
    assert found is not None

    second = start("second", TASKFLOW_METRICS_PORT=found[1])

    assert second.wait(_STARTS_S) == 2
    said = log_of(tmp_path, "second").read_text()
    assert said.startswith(f"TASKFLOW_METRICS_PORT: port {found[1]} of 127.0.0.1 cannot be used")
    assert "Traceback" not in said
