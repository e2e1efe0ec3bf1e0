"""Loops that no error ends: whatever they raise is logged, and they begin again."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_HEALTHY_S = 30.0  # a loop that ran for so long starts with the first pause again


async def supervised(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """Run `loop()` until it returns; after an error run it again, after a pause that doubles up to 5 s.

    There is no limit of attempts: a schema that is not migrated yet or a password that is being changed
    is mended from outside, and a worker that exits would only be started again.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        try:
            await loop()
        except Exception:  # noqa: BLE001 - logged with all there is to know
            if time.monotonic() - began > _HEALTHY_S:
                pause_s = _FIRST_PAUSE_S
            _log.exception("worker.loop_failed", loop=name, again_in_s=pause_s)
        else:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
