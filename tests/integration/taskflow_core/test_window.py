"""The ready window: what is popped, in which order, and put back."""

import pytest
from redis.asyncio import Redis

from taskflow_core.ids import new_id
from taskflow_core.queue import keys
from taskflow_core.queue.window import Entry, Popped, Window
from taskflow_core.tasks.states import Priority


@pytest.fixture
def window(redis: Redis) -> Window:
    return Window(redis)


def entries(count: int, priority: Priority) -> list[Entry]:
    return [Entry(str(new_id()), priority) for _ in range(count)]


def ids(some: list[Entry]) -> list[str]:
    return [str(entry.task_id) for entry in some]


async def pop(window: Window, count: int, flow: str = "f") -> Popped:
    popped = await window.pop(flow, count, wait_s=0.1)
    assert popped is not None
    return popped


async def test_high_comes_before_medium_before_low_and_first_in_is_first_out(
    window: Window,
) -> None:
    low, high = entries(2, Priority.LOW), entries(2, Priority.HIGH)
    await window.publish("f", [*low, *high])

    assert (await pop(window, 1)).task_ids == ids(high[:1])
    assert (await pop(window, 5)).task_ids == ids(high[1:]), "one list at a time"
    assert (await pop(window, 5)).task_ids == ids(low)


async def test_never_more_is_popped_than_was_asked_for(window: Window) -> None:
    some = entries(5, Priority.MEDIUM)
    await window.publish("f", some)

    assert (await pop(window, 3)).task_ids == ids(some[:3])
    assert await window.length("f") == 2


async def test_an_empty_window_and_another_flow_give_nothing(window: Window) -> None:
    await window.publish("other", entries(1, Priority.MEDIUM))

    assert await window.pop("f", 1, wait_s=0.05) is None


async def test_what_is_put_back_stands_at_the_front_as_before(window: Window) -> None:
    some = entries(4, Priority.LOW)
    await window.publish("f", some)

    await window.put_back(await pop(window, 3))

    assert (await pop(window, 9)).task_ids == ids(some)


async def test_bytes_that_are_no_text_are_popped_as_garbage(window: Window, redis: Redis) -> None:
    good = entries(1, Priority.MEDIUM)
    await redis.rpush(keys.ready("f")[1], b"\xff\xfe\x00")
    await window.publish("f", good)

    first, second = (await pop(window, 2)).task_ids

    assert first not in ids(good)
    assert second == ids(good)[0]
