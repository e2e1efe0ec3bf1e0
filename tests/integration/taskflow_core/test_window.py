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


def joined(some: list[Entry]) -> str:
    """Entries as the dispatcher's statement hands them over."""
    return ",".join(f"{entry.task_id}:{entry.attempt}:1700000000000" for entry in some)


async def test_entries_are_appended_to_many_windows_at_once_in_order(window: Window) -> None:
    low, high, more = entries(3, Priority.LOW), entries(2, Priority.HIGH), entries(1, Priority.LOW)
    other = entries(1, Priority.MEDIUM)
    await window.publish("f", low)

    lengths = await window.append(
        {
            "f": {Priority.HIGH: joined(high), Priority.LOW: joined(more)},
            "g": {Priority.MEDIUM: joined(other)},
        }
    )

    assert lengths == {"f": 6, "g": 1}
    assert (await pop(window, 9)).task_ids == ids(high)
    assert (await pop(window, 9)).task_ids == ids(low + more)
    assert (await pop(window, 9, flow="g")).task_ids == ids(other)


async def test_more_entries_than_the_script_can_push_at_once_are_appended(window: Window) -> None:
    many = entries(12_345, Priority.MEDIUM)

    assert await window.append({"f": {Priority.MEDIUM: joined(many)}}) == {"f": 12_345}
    assert await window.task_ids("f") == set(ids(many))
    assert (await pop(window, 20_000)).task_ids == ids(many)


async def test_scripts_that_redis_has_forgotten_are_loaded_again(
    window: Window, redis: Redis
) -> None:
    some = {"f": {Priority.MEDIUM: joined(entries(1, Priority.MEDIUM))}}
    await window.append(some)
    await window.publish("f", entries(1, Priority.MEDIUM))
    await redis.script_flush()

    assert await window.append(some) == {"f": 3}
    await redis.script_flush()
    assert await window.publish("f", entries(1, Priority.MEDIUM)) == 4


async def test_lengths_of_many_windows_come_in_one_answer(window: Window) -> None:
    await window.publish("f", [*entries(2, Priority.HIGH), *entries(3, Priority.LOW)])

    assert await window.lengths(["f", "empty"]) == {"f": 5, "empty": 0}
    assert await window.lengths([]) == {}


async def test_what_is_no_list_is_deleted_when_lengths_are_asked_for(
    window: Window, redis: Redis
) -> None:
    await window.publish("f", entries(2, Priority.HIGH))
    await redis.set(keys.ready("f")[1], "?")
    await redis.hset(keys.ready("f")[2], "a", "b")
    await window.publish("g", entries(1, Priority.LOW))

    assert await window.lengths(["f", "g"]) == {"f": 2, "g": 1}
    assert await window.publish("f", entries(1, Priority.LOW)) == 3


async def test_a_window_that_refuses_entries_stops_no_other(window: Window, redis: Redis) -> None:
    some = {Priority.MEDIUM: joined(entries(1, Priority.MEDIUM))}
    await redis.set(keys.ready("bad")[1], "?")

    assert await window.append({"a": some, "bad": some, "z": some}) == {"a": 1, "z": 1}


async def test_a_redis_that_is_full_refuses_entries(window: Window, redis: Redis) -> None:
    some = {"f": {Priority.MEDIUM: joined(entries(1, Priority.MEDIUM))}}
    await redis.config_set("maxmemory", 1)
    try:
        assert await window.append(some) == {}
    finally:
        await redis.config_set("maxmemory", 0)
    assert await window.append(some) == {"f": 1}
