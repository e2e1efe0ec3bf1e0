"""Nothing is adopted that runs, is being claimed, or was settled while PostgreSQL was asked."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from taskflow_worker.attempt import Attempt, Ending, Outcome
from taskflow_worker.ledger import Ledger


def attempt(task_id: str = "t", number: int = 1) -> Attempt:
    return Attempt(task_id, number, 3, "a", None, None, None, 0.0, 1)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def test_what_is_held_is_no_stranger(ledger: Ledger) -> None:
    ledger.hold(attempt("held"))

    with ledger.look() as settled:
        assert ledger.strangers(["held", "lost"], settled) == ["lost"]


def test_what_is_being_claimed_is_no_stranger_except_to_its_own_claim(ledger: Ledger) -> None:
    ids = ["t"]
    with ledger.claim(ids), ledger.look() as settled:
        assert ledger.claiming
        assert ledger.strangers(["t"], settled) == []
        assert ledger.strangers(["t"], settled, mine=ids) == ["t"]
        with ledger.claim(["t"]):  # a duplicate entry, popped by the other fetcher
            assert ledger.strangers(["t"], settled, mine=ids) == []
    assert not ledger.claiming


def test_what_was_settled_while_postgresql_was_asked_is_no_stranger(ledger: Ledger) -> None:
    ended = attempt()
    ledger.hold(ended)

    with ledger.look() as settled:
        ledger.settle(ended)
        assert ledger.strangers(["t"], settled) == []
    with ledger.look() as settled:
        assert ledger.strangers(["t"], settled) == ["t"], "asked later, it cannot be an old answer"


def test_the_answer_about_an_old_attempt_does_not_let_go_of_the_new_one(ledger: Ledger) -> None:
    old, new = attempt(number=1), attempt(number=2)
    ledger.hold(old)
    ledger.hold(new)  # a retry, claimed before the answer about its last attempt was read

    ledger.settle(old)

    assert ledger.find("t") is new


def test_a_ghost_haunts_its_task_until_it_is_gone(ledger: Ledger) -> None:
    stubborn = attempt()
    ledger.haunt(stubborn)

    assert ledger.haunted("t")
    ledger.gone(attempt())
    assert ledger.haunted("t"), "another attempt's end is not its end"
    ledger.gone(stubborn)
    assert not ledger.haunted("t")


def test_only_what_was_started_and_has_not_ended_runs(ledger: Ledger) -> None:
    claimed, ended = attempt("claimed"), attempt("ended")
    ended.ending = Ending(Outcome.COMPLETED)
    ledger.hold(claimed)
    ledger.hold(ended)

    assert ledger.running() == []
    assert set(ledger.held) == {claimed, ended}


class OneTask(RuleBasedStateMachine):
    """PostgreSQL, a worker and two connections between them, for one task.

    Each statement has a moment at which PostgreSQL does it and a later one at which its answer is read;
    any number of other things happen in between, and an answer may never arrive.
    """

    claims: Any = Bundle("claims")
    looks: Any = Bundle("looks")
    endings: Any = Bundle("endings")

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.row: int | None = None  # the attempt PostgreSQL believes is running
        self.attempts = 0
        self.started: list[int] = []
        self.lost = False

    @rule(target=claims)
    def claim_is_done(self) -> Any:
        ids = ["t"]
        context = self.ledger.claim(ids)
        context.__enter__()
        got = None
        if self.row is None:
            self.attempts += 1
            self.row = got = self.attempts
        return ids, context, got

    @rule(claim=consumes(claims))
    def claim_is_answered(self, claim: Any) -> None:
        _, context, got = claim
        if got is not None:
            self.start(got)
        context.__exit__(None, None, None)

    @rule(claim=consumes(claims))
    def claim_is_not_answered(self, claim: Any) -> None:
        claim[1].__exit__(None, None, None)

    @rule(target=endings)
    def attempt_ends(self) -> Any:
        held = self.ledger.find("t")
        if held is None or held.ending is not None:
            return None
        held.ending = Ending(Outcome.RETRY)
        if self.row == held.number:
            self.row = None
        return held

    @rule(ending=consumes(endings))
    def ending_is_answered(self, ending: Attempt | None) -> None:
        if ending is not None:
            self.ledger.settle(ending)

    @rule(target=looks)
    def postgresql_is_asked(self) -> Any:
        context = self.ledger.look()
        return context, context.__enter__(), self.row

    @rule(look=consumes(looks))
    def postgresqls_list_is_read(self, look: Any) -> None:
        context, settled, row = look
        if row is not None and self.ledger.strangers(["t"], settled):
            self.start(row)
        context.__exit__(None, None, None)

    def start(self, number: int) -> None:
        self.started.append(number)
        self.ledger.hold(attempt(number=number))

    @invariant()
    def no_attempt_starts_twice(self) -> None:
        assert len(set(self.started)) == len(self.started)


TestOneTask = OneTask.TestCase
TestOneTask.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
