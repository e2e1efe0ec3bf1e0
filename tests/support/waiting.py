"""Waiting for a condition, with a deadline and a report of what was seen last."""

import asyncio
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02


async def eventually[T](
    look: Callable[[], Awaitable[T]],
    until: Callable[[T], bool],
    *,
    within_s: float = 10.0,
    what: str = "the condition",
) -> T:
    """Call `look` until `until` likes what it returned; fail with the last value at the deadline."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if until(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not hold within {within_s} s; last seen: {seen!r}")
        await asyncio.sleep(POLL_S)
