"""For how long PostgreSQL has been in reach, by two clocks."""

import pytest

from taskflow_worker.dispatcher.sessions import Contact


class World:
    """Our monotonic clock, and PostgreSQL's."""

    def __init__(self) -> None:
        self.ours, self.theirs = 1_000.0, 1.7e9
        self.contact = Contact(3.0, clock=lambda: self.ours)

    def answer(self, after_s: float = 1.0, *, theirs_s: float | None = None) -> float:
        self.ours += after_s
        self.theirs += after_s if theirs_s is None else theirs_s
        self.contact.answered(self.theirs)
        return self.contact.lasts_s()


@pytest.fixture
def world() -> World:
    return World()


def test_contact_lasts_from_the_beginning_to_the_last_answer(world: World) -> None:
    assert world.contact.lasts_s() == 0
    for _ in range(5):
        world.answer()
    world.ours += 100  # without an answer nothing is added

    assert world.contact.lasts_s() == 5


def test_answers_that_are_a_little_late_do_not_break_it(world: World) -> None:
    world.answer(1)
    assert world.answer(3) == 4


def test_a_gap_begins_it_anew(world: World) -> None:
    for _ in range(20):
        world.answer()

    assert world.answer(3.5) == 0
    assert world.answer(1) == 1


def test_a_first_answer_that_comes_late_begins_it_then(world: World) -> None:
    assert world.answer(60) == 0


def test_a_jump_of_the_servers_clock_begins_it_anew(world: World) -> None:
    """The whole machine slept, or an administrator set the clock: nobody could beat in that time."""
    for _ in range(20):
        world.answer()

    assert world.answer(1, theirs_s=3_600) == 0
    assert world.answer(1) == 1


def test_a_server_clock_that_goes_back_only_delays_judgement(world: World) -> None:
    """Heartbeats then lie in the future, which ends nobody."""
    world.answer()

    assert world.answer(1, theirs_s=-3_600) == 2
