"""Passwords: hashed in threads of their own, bounded, and compared in equal time."""

import asyncio
import threading

import pytest

from taskflow_api.auth.passwords import Passwords, hash_password
from taskflow_core.errors import Unavailable
from tests.support.api import auth_settings


async def test_a_password_matches_its_hash_and_no_other() -> None:
    with Passwords(auth_settings()) as passwords:
        stored = await passwords.hash("right")

        assert await passwords.matches("right", stored)
        assert not await passwords.matches("wrong", stored)
        assert stored != await passwords.hash("right")


async def test_nobody_has_the_empty_password() -> None:
    with Passwords(auth_settings()) as passwords:
        assert not await passwords.matches("", None)


async def test_a_letter_is_the_same_however_it_is_composed() -> None:
    with Passwords(auth_settings()) as passwords:
        assert await passwords.matches("cafe\u0301", await passwords.hash("caf\u00e9"))


def test_the_cost_is_in_the_hash() -> None:
    assert hash_password("x", 5).startswith("$2b$05$")


async def test_hashes_leave_the_event_loop_free_and_beyond_the_bound_are_refused() -> None:
    gate = threading.Event()
    with Passwords(auth_settings(TASKFLOW_PASSWORD_THREADS=1)) as passwords:
        waiting = [asyncio.create_task(passwords._run(gate.wait)) for _ in range(9)]
        await asyncio.sleep(0)  # lets them take their places

        with pytest.raises(Unavailable):
            await passwords.hash("one too many")

        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 9
        assert await passwords.hash("room again")
