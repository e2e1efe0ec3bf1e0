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


def test_what_is_promised_is_not_asked_for_but_may_be_adopted() -> None:
    slots = Slots(4)
    slots.promise(3)

    assert (slots.free, slots.untaken) == (1, 4)
    with slots.reserve(4):  # pops that wait for something to come
        assert slots.free < 0
        assert slots.untaken == 0


@pytest.mark.parametrize("event", ["leave", "reserve", "promise"])
async def test_whoever_waits_for_room_is_woken(event: str) -> None:
    slots = Slots(1)
    slots.busy = 1
    waiting = asyncio.create_task(slots.changed())
    await asyncio.sleep(0)
    assert not waiting.done()

    if event == "leave":
        slots.leave()
        assert slots.free == 1
    elif event == "promise":
        slots.promise(0)
    else:
        with slots.reserve(1):
            pass
    await asyncio.wait_for(waiting, 1)
