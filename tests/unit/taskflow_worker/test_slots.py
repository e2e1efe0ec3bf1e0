"""Slots: never more asked for than are free."""

import asyncio

import pytest

from taskflow_worker.slots import Slots


def test_what_is_asked_for_is_not_free() -> None:
    slots = Slots(3)
    slots.busy = 1

    with slots.reserve(2):
        assert slots.free == 0
        slots.busy += 1  # one of the two has started
    assert slots.free == 1


@pytest.mark.parametrize("event", ["leave", "reserve"])
async def test_whoever_waits_for_room_is_woken(event: str) -> None:
    slots = Slots(1)
    slots.busy = 1
    waiting = asyncio.create_task(slots.changed())
    await asyncio.sleep(0)
    assert not waiting.done()

    if event == "leave":
        slots.leave()
        assert slots.free == 1
    else:
        with slots.reserve(1):
            pass
    await asyncio.wait_for(waiting, 1)
