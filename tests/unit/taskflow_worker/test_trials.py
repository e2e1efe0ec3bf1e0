"""The handlers for trying things out."""

import asyncio

import pytest

from taskflow_worker import Fatal
from taskflow_worker.errors import InvalidPayload, Stopped
from taskflow_worker.handlers.trials import echo, fail, sleep
from taskflow_worker.testing import run


@pytest.mark.parametrize("payload", [None, 3, "x", [1, None], {"n": 1}])
async def test_echo_returns_its_payload(payload: object) -> None:
    assert await run(echo, payload) == payload


async def test_sleep_sleeps_and_wakes_when_it_is_asked_to_stop() -> None:
    assert await run(sleep, {"seconds": 0.01}) == {"seconds": 0.01}
    async with asyncio.timeout(5):
        with pytest.raises(Stopped):
            await run(sleep, {"seconds": 3600}, cancelled=True)


@pytest.mark.parametrize("seconds", [-1, 86_401, "long", None])
async def test_sleep_takes_a_bounded_time(seconds: object) -> None:
    with pytest.raises(InvalidPayload, match="/seconds"):
        await run(sleep, {"seconds": seconds})


async def test_fail_fails_as_asked() -> None:
    with pytest.raises(RuntimeError, match="boom"):
        await run(fail, {"message": "boom"})
    with pytest.raises(Fatal, match="boom"):
        await run(fail, {"message": "boom", "fatal": True, "times": 0})
    with pytest.raises(RuntimeError):
        await run(fail)


async def test_fail_may_succeed_in_the_end() -> None:
    with pytest.raises(RuntimeError):
        await run(fail, {"times": 2}, attempt=2)
    assert await run(fail, {"times": 2}, attempt=3) == {"attempt": 3}


async def test_fail_refuses_what_it_does_not_know() -> None:
    with pytest.raises(InvalidPayload, match="/tines: Extra inputs"):
        await run(fail, {"tines": 2})
