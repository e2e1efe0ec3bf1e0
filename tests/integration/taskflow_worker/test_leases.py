"""Sessions, fences and adoption: what happens between two answers."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from structlog.testing import capture_logs

from taskflow_cli.local.servers import EmbeddedPostgres
from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_worker import Context
from taskflow_worker.completion import Completions
from tests.support.waiting import eventually
from tests.support.worker import FAST, FLOW, Lab

_ask = Link._ask

type Fate = Callable[[str], Exception | None]


def lose_answers(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> None:
    """Let PostgreSQL do what it is asked, and raise what `fate` says instead of the answer."""

    async def ask(link: Link, connection: AsyncConnection[Any], sql: str, values: Any) -> Any:
        rows = await _ask(link, connection, sql, values)
        if (error := fate(sql)) is not None:
            raise error
        return rows

    monkeypatch.setattr(Link, "_ask", ask)


def first_time(sql: str, error: Exception) -> Fate:
    """Lose the first answer to one statement."""
    due = [error]
    return lambda asked: due.pop() if asked == sql and due else None


@contextlib.contextmanager
def expiring(lab: Lab, lease_s: float) -> Iterator[None]:
    """End silent sessions from a thread: the event loop of this process may stand still."""
    over = threading.Event()
    url = lab.database_settings.url.get_secret_value()

    def expire() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(0.05):
                connection.execute(
                    "update worker_sessions set ended_at = now(), ended_reason = 'expired'"
                    " where ended_at is null and heartbeat_at < now() - make_interval(secs => %s)",
                    [lease_s],
                )

    thread = threading.Thread(target=expire)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", ["waits", "computes", "blocks a thread"])
async def test_a_task_longer_than_its_lease_runs_once(lab: Lab, kind: str) -> None:
    starts = 0

    @lab.broker.handler("long")
    async def long() -> None:
        nonlocal starts
        starts += 1
        if kind == "waits":
            await asyncio.sleep(4 * FAST.lease_s)
        else:
            time.sleep(4 * FAST.lease_s)  # noqa: ASYNC251 - the whole event loop stands still

    @lab.broker.handler("long.thread")
    def long_thread() -> None:
        nonlocal starts
        starts += 1
        time.sleep(4 * FAST.lease_s)

    task = await lab.create_one("long.thread" if kind == "blocks a thread" else "long")
    with expiring(lab, FAST.lease_s):
        async with lab.worker(), lab.dispatcher():
            await lab.result(task)

    assert starts == 1
    assert await lab.events(task) == ["created", "started", "completed"]
    assert [reason for _, reason in await lab.sessions()] == ["stopped"]


async def test_a_worker_whose_session_was_ended_stops_everything_and_goes_on(lab: Lab) -> None:
    running: set[int] = set()
    let_go = asyncio.Event()

    @lab.broker.handler("work")
    async def work(payload: int, ctx: Context) -> str:
        assert payload not in running, "twice at once in one process"
        running.add(payload)
        try:
            if ctx.attempt == 1:
                await let_go.wait()
            return ctx.fencing_key
        finally:
            running.discard(payload)

    registry = CollectorRegistry()
    tasks = await lab.create("work", *range(5))
    async with lab.worker(registry=registry) as worker:
        first = worker.session.id
        for task in tasks:
            await lab.reaches(task, "IN_PROGRESS")
        await lab.expire()
        await _until(lambda: not running, "all handlers having stopped")
        async with lab.dispatcher():
            results = [await lab.result(task) for task in tasks]
        assert worker.session.id != first

    assert results == [f"{task}:2" for task in tasks]
    assert await lab.completed_twice() == 0
    for task in tasks:
        assert await lab.events(task) == [
            "created",
            "started",
            "lease_lost",
            "started",
            "completed",
        ]


async def test_what_ended_before_the_session_was_over_is_refused_after_the_sweep(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()
    held = asyncio.Event()
    write = Completions._write

    @lab.broker.handler("work")
    async def work(ctx: Context) -> str:
        return ctx.fencing_key

    async def slow(self: Completions, link: Link, part: Any) -> None:
        await held.wait()  # the worker is frozen between the handler's end and the completion
        await write(self, link, part)

    monkeypatch.setattr(Completions, "_write", slow)
    task = await lab.create_one("work")
    async with lab.worker(registry=registry):
        await lab.reaches(task, "IN_PROGRESS")
        await lab.expire()
        held.set()
        async with lab.dispatcher():
            assert await lab.result(task) == f"{task}:2"

    refused = registry.get_sample_value("taskflow_fenced_writes_refused_total", {"flow": FLOW})
    assert refused == 1
    assert await lab.completed_twice() == 0


async def test_a_handler_that_does_not_stop_haunts_its_task_and_cannot_complete_it(
    lab: Lab,
) -> None:
    release = asyncio.Event()
    starts: list[int] = []

    @lab.broker.handler("stubborn")
    async def stubborn(ctx: Context) -> str:
        starts.append(ctx.attempt)
        while ctx.attempt == 1 and not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()
        return ctx.fencing_key

    task = await lab.create_one("stubborn")
    async with lab.worker() as worker:
        await lab.reaches(task, "IN_PROGRESS")
        await lab.expire()
        await _until(lambda: bool(worker.books.ledger.ghosts), "the ghost")
        await lab.top_up()
        await eventually(lambda: lab.window.length(FLOW), lambda n: n == 0, what="the pop")
        assert await lab.status(task) == "PENDING", "not claimed: it still runs here"
        assert worker.books.slots.busy == 1
        release.set()
        await _until(lambda: not worker.books.ledger.ghosts, "its end")
        assert await lab.status(task) == "PENDING", "its result was for nobody"
        async with lab.dispatcher():
            assert await lab.result(task) == f"{task}:2"

    assert starts == [1, 2]


async def test_a_claim_whose_answer_is_lost_is_adopted_at_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[str] = []

    @lab.broker.handler("work")
    async def work(ctx: Context) -> None:
        starts.append(ctx.fencing_key)

    lose_answers(monkeypatch, first_time(statements.CLAIM, psycopg.OperationalError("cut")))
    tasks = await lab.create("work", *[None] * 5)
    async with lab.worker():
        await lab.all_completed(5)

    assert sorted(starts) == sorted(f"{task}:1" for task in tasks)


async def test_a_claim_whose_answer_is_lost_for_good_is_found_with_the_next_look(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[str] = []

    @lab.broker.handler("work")
    async def work(ctx: Context) -> None:
        starts.append(ctx.fencing_key)

    lose_answers(monkeypatch, first_time(statements.CLAIM, psycopg.ProgrammingError("oops")))
    tasks = await lab.create("work", *[None] * 30)
    async with lab.worker(slots=4):
        await lab.all_completed(30)

    assert sorted(starts) == sorted(f"{task}:1" for task in tasks)


async def test_a_completion_whose_answer_is_lost_is_done_once_and_counted_as_ours(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry()

    @lab.broker.handler("work")
    async def work() -> None: ...

    lose_answers(monkeypatch, first_time(statements.COMPLETE, psycopg.OperationalError("cut")))
    await lab.create("work", *[None] * 5)
    async with lab.worker(registry=registry):
        await lab.all_completed(5)

    assert await lab.completed_twice() == 0
    refused = registry.get_sample_value("taskflow_fenced_writes_refused_total", {"flow": FLOW})
    assert not refused


async def test_whatever_answers_are_lost_every_task_runs_once_and_completes_once(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(7)
    lossy = {statements.CLAIM, statements.ADOPT, statements.COMPLETE, statements.HELD}
    errors = (psycopg.OperationalError, psycopg.OperationalError, psycopg.ProgrammingError)
    monkeypatch.setattr("taskflow_core.db.link._RETRY_PAUSE_S", 0.01)
    monkeypatch.setattr("taskflow_worker.supervision._LONGEST_PAUSE_S", 0.1)

    def fate(sql: str) -> Exception | None:
        return chance.choice(errors)("cut") if sql in lossy and chance.random() < 0.2 else None

    starts: dict[str, int] = {}

    @lab.broker.handler("work")
    async def work(payload: int, ctx: Context) -> None:
        starts[ctx.fencing_key] = starts.get(ctx.fencing_key, 0) + 1
        await asyncio.sleep(0.001 * (payload % 4))

    lose_answers(monkeypatch, fate)
    tasks = await lab.create("work", *range(300))
    async with lab.worker(slots=20), lab.dispatcher():
        for _ in range(3):
            await lab.publish(*tasks)  # duplicates, too
        await lab.all_completed(300, within_s=60)
    monkeypatch.undo()

    assert starts == {f"{task}:1": 1 for task in tasks}
    assert await lab.completed_twice() == 0
    assert await lab.started_twice() == 0


async def test_nothing_is_lost_when_postgresql_is_away_for_longer_than_the_lease(
    lab: Lab, postgres: EmbeddedPostgres
) -> None:
    ((name,),) = await lab.link.fetch("select current_database()")
    ended: list[str] = []

    @lab.broker.handler("work")
    async def work(payload: str) -> str:
        await asyncio.sleep(2.5 * FAST.lease_s)
        ended.append(payload)
        return payload

    task = await lab.create_one("work", "one")
    with capture_logs() as logs:
        async with lab.worker() as worker:
            await lab.reaches(task, "IN_PROGRESS")
            postgres.psql(f"alter database {name} allow_connections false")
            postgres.psql(
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
            )
            await _until(lambda: bool(ended), "the handler's end, undisturbed")
            assert worker.session.heart.age_s > FAST.lease_s
            postgres.psql(f"alter database {name} allow_connections true")
            assert await lab.result(task) == "one"

    assert len([entry for entry in logs if entry["event"] == "worker.lease_unsure"]) == 1
    assert await lab.events(task) == ["created", "started", "completed"]


async def test_a_task_that_was_interrupted_once_may_then_run_for_long(lab: Lab) -> None:
    starts: list[int] = []

    @lab.broker.handler("work")
    async def work(ctx: Context) -> None:
        starts.append(ctx.attempt)
        await asyncio.sleep(30 if ctx.attempt == 1 else 4 * FAST.lease_s)

    task = await lab.create_one("work")
    async with lab.worker(grace_s=0):
        await lab.reaches(task, "IN_PROGRESS")
    async with lab.worker(), lab.dispatcher(lease_s=FAST.lease_s):
        await lab.result(task)

    assert starts == [1, 2]
    assert await lab.events(task) == ["created", "started", "retried", "started", "completed"]


async def test_a_second_session_is_opened_only_when_the_first_is_over(lab: Lab) -> None:
    async with lab.worker() as worker:
        first = worker.session.id
        await _until(lambda: worker.session.heart.age_s < FAST.beat_every_s / 2, "a heartbeat")
        assert worker.session.id == first
        await lab.expire()
        await _until(lambda: worker.session.id not in {None, first}, "another session")

    assert [reason for _, reason in await lab.sessions()] == ["heartbeats missed", "stopped"]


async def test_a_loop_that_stands_still_for_too_long_lets_its_lease_go(lab: Lab) -> None:
    tempo = replace(FAST, blocked_loop_s=0.3)

    @lab.broker.handler("hang")
    async def hang() -> None:
        time.sleep(4 * FAST.lease_s)  # noqa: ASYNC251 - the point of the test

    task = await lab.create_one("hang")
    with expiring(lab, FAST.lease_s):
        async with lab.worker(tempo=tempo) as worker:
            await lab.reaches(task, "IN_PROGRESS")
            first = worker.session.id
            await _until(lambda: worker.session.id not in {None, first}, "another session")


async def _until(condition: Callable[[], bool], what: str) -> None:
    async def look() -> bool:
        return condition()

    await eventually(look, bool, what=what)
