"""How one batch is divided between flows."""

from hypothesis import given
from hypothesis import strategies as st

from taskflow_worker.dispatcher.top_up import shares

_ROOMS = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 5_000), max_size=50)


@given(_ROOMS, st.integers(1, 4_000))
def test_every_flow_with_room_gets_something_and_none_more_than_it_has_room_for(
    rooms: dict[str, int], batch: int
) -> None:
    divided = shares(rooms, batch)

    assert divided.keys() == {flow for flow, room in rooms.items() if room > 0}
    assert all(1 <= count <= rooms[flow] for flow, count in divided.items())
    assert sum(divided.values()) <= max(batch, len(divided))


def test_a_flow_alone_gets_the_whole_batch() -> None:
    assert shares({"a": 5_000, "full": 0}, 2_000) == {"a": 2_000}


def test_a_deep_backlog_takes_nothing_from_a_small_one() -> None:
    assert shares({"deep": 5_000, "small": 3}, 2_000) == {"deep": 1_000, "small": 3}


def test_more_flows_than_a_batch_has_rows_get_one_each() -> None:
    assert shares({str(n): 7 for n in range(3_000)}, 2_000) == {str(n): 1 for n in range(3_000)}
