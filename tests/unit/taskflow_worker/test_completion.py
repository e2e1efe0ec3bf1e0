"""How endings are gathered, divided and kept, against a database that does as it is told."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_core.telemetry.metrics import WorkerMetrics
from taskflow_worker.attempt import Attempt, Ending, Outcome
from taskflow_worker.books import Books, open_books
from taskflow_worker.broker import FlowBroker
from taskflow_worker.context import Progress
from taskflow_worker.tempo import Tempo

MEGABYTE = 1 << 20


class Sql:
    """Stands for a link: remembers what it was asked, and answers that all rows were ours."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, list[str], list[str]]] = []
        self.refuse: Callable[[list[str]], Exception | None] = lambda _: None
        self.ours: Callable[[str], bool] = lambda _: True

    @property
    def completed(self) -> list[list[str]]:
        return [ids for sql, _, ids, _ in self.asked if sql == statements.COMPLETE]

    async def fetch(
        self, sql: str, *values: Any, lost: Callable[[], None] | None = None
    ) -> list[tuple[int]]:
        ids = values[1].strip("{}").split(",")
        if sql == statements.COMPLETE and (error := self.refuse(ids)):
            raise error
        outcomes = values[3].strip("{}").split(",") if sql == statements.COMPLETE else []
        self.asked.append((sql, values[0], ids, outcomes))
        return [(number,) for number, each in enumerate(ids, 1) if self.ours(each)]


@pytest.fixture
def sql() -> Sql:
    return Sql()


@pytest.fixture
def books() -> Books:
    return open_books(
        FlowBroker(),
        WorkerMetrics(CollectorRegistry()),
        flow="f",
        replica="r",
        slots=10,
        tempo=Tempo(linger_s=0.01),
    )


def end(books: Books, *names: str, body: str = "null", session: int = 1) -> list[Attempt]:
    attempts = [Attempt(name, 1, 3, "a", None, None, None, 0.0, session) for name in names]
    for attempt in attempts:
        books.ledger.hold(attempt)
        books.completions.add(attempt, Ending(Outcome.COMPLETED, body))
    return attempts


async def flush(books: Books, sql: Sql) -> None:
    flushing = asyncio.create_task(books.completions.flush_for_ever(cast("Link", sql)))
    await asyncio.wait_for(books.completions.drained(), 5)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)


async def test_what_has_gathered_goes_in_one_statement(books: Books, sql: Sql) -> None:
    end(books, "a", "b", "c")

    await flush(books, sql)

    assert sql.completed == [["a", "b", "c"]]
    assert not books.ledger.held


async def test_alone_an_ending_goes_at_once_and_in_company_it_waits_for_more(
    books: Books, sql: Sql
) -> None:
    books.slots.busy = 1  # more is on its way
    end(books, "a")
    flushing = asyncio.create_task(books.completions.flush_for_ever(cast("Link", sql)))
    await asyncio.sleep(0)
    assert sql.completed == []
    end(books, "b")
    await asyncio.wait_for(books.completions.drained(), 5)
    assert sql.completed == [["a", "b"]]

    books.slots.busy = 0
    end(books, "c")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sql.completed[1:] == [["c"]]
    flushing.cancel()


async def test_a_refused_value_takes_nobody_along(books: Books, sql: Sql) -> None:
    names = [f"t{n}" for n in range(64)]
    bad = {"t7", "t40"}
    refused: set[str] = set()

    def refuse(ids: list[str]) -> Exception | None:
        culprits = bad.intersection(ids) - refused
        if culprits and len(ids) == 1:
            refused.update(culprits)  # the second time it comes without the value
        return psycopg.DataError("no") if culprits else None

    sql.refuse = refuse
    attempts = {attempt.task_id: attempt for attempt in end(books, *names)}

    await flush(books, sql)

    assert sorted(name for ids in sql.completed for name in ids) == sorted(names)
    outcomes = {
        name: outcome
        for _, _, ids, given in sql.asked
        for name, outcome in zip(ids, given, strict=True)
    }
    assert {name for name, outcome in outcomes.items() if outcome == "FAILED"} == bad
    assert all("ResultRefused" in str(attempts[name].ending) for name in bad)
    assert len(sql.completed) < 20, "it halves, it does not count"


async def test_what_is_refused_even_without_its_value_does_not_block_the_rest(
    books: Books, sql: Sql
) -> None:
    sql.refuse = lambda ids: psycopg.DataError("no") if "cursed" in ids else None
    end(books, "cursed", "fine")

    await flush(books, sql)

    assert sql.completed == [["fine"]]
    assert not books.ledger.held


async def test_nothing_is_lost_when_the_statement_itself_is_wrong(books: Books, sql: Sql) -> None:
    sql.refuse = lambda _: psycopg.ProgrammingError("no such table")
    end(books, "a", "b", body="1")

    with pytest.raises(psycopg.ProgrammingError):
        await books.completions.flush_for_ever(cast("Link", sql))
    assert books.completions.pending == 2

    sql.refuse = lambda _: None
    await flush(books, sql)
    assert sql.completed == [["a", "b"]]


async def test_a_statement_has_a_bounded_size(books: Books, sql: Sql) -> None:
    end(books, *"abcdefgh", body="x" * MEGABYTE)
    end(books, *[f"t{n}" for n in range(600)])

    await flush(books, sql)

    sizes = [len(ids) for ids in sql.completed]
    assert sizes[0] == 4, "4 MiB"
    assert max(sizes) == 500
    assert sum(sizes) == 608


async def test_endings_of_two_sessions_do_not_share_a_statement(books: Books, sql: Sql) -> None:
    end(books, "old", session=1)
    end(books, "new", session=2)

    await flush(books, sql)

    assert [(session, ids) for _, session, ids, _ in sql.asked] == [(1, ["old"]), (2, ["new"])]


@pytest.mark.parametrize(("count", "body"), [(521, "null"), (33, "x" * MEGABYTE)])
async def test_room_for_endings_is_bounded_in_number_and_in_size(
    books: Books, sql: Sql, count: int, body: str
) -> None:
    end(books, *[f"t{n}" for n in range(count - 1)], body=body)
    was_full = books.completions.full
    end(books, "one more", body=body)
    assert (was_full, books.completions.full) == (False, True)

    await flush(books, sql)
    assert books.completions.pending == 0


async def test_post_save_comes_after_the_answer_and_not_for_what_was_refused(
    books: Books, sql: Sql
) -> None:
    saved: list[str] = []

    async def save(name: str) -> None:
        saved.append(name)
        if name == "a":
            raise RuntimeError("a hook that fails is its own affair")

    sql.ours = lambda name: name != "taken"
    for attempt in end(books, "a", "taken", "b"):
        attempt.on_settled = lambda name=attempt.task_id: save(name)
    await flush(books, sql)
    await books.completions.hooks_done()

    assert saved == ["a", "b"]


async def test_the_last_word_of_progress_is_written_before_the_ending(
    books: Books, sql: Sql
) -> None:
    attempts = [Attempt(name, 1, 3, "a", None, None, None, 0.0, 1) for name in ("a", "b")]
    books.progress.note(attempts[0], Progress(0.5, "half"))
    books.progress.note(attempts[0], Progress(1.0, "done"))
    for attempt in attempts:
        books.completions.add(attempt, Ending(Outcome.COMPLETED))
    books.progress.note(attempts[1], Progress(1.0, "said after the end"))

    await flush(books, sql)

    assert [(statement, ids) for statement, _, ids, _ in sql.asked] == [
        (statements.PROGRESS, ["a"]),
        (statements.COMPLETE, ["a", "b"]),
    ]
