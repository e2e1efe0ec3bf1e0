"""UUIDv7 identifiers."""

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

from taskflow_core.ids import new_id


def milliseconds_of(made: UUID) -> int:
    return made.int >> 80


def test_an_id_is_a_standard_uuid_of_version_7() -> None:
    made = new_id()

    assert type(made) is UUID
    assert made.version == 7
    assert made.variant == RFC_4122


def test_an_id_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    after = time.time_ns() // 1_000_000

    assert before <= milliseconds_of(made) <= after


def test_ids_made_one_after_the_other_are_in_order() -> None:
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(made)


def test_ids_of_threads_differ() -> None:
    with ThreadPoolExecutor(8) as pool:
        batches = pool.map(lambda _: [new_id() for _ in range(5_000)], range(8))
        made = [one for batch in batches for one in batch]

    assert len(set(made)) == len(made) == 40_000


def test_text_sorts_like_the_id() -> None:
    made = [new_id() for _ in range(1_000)]

    assert sorted(map(str, made)) == [str(one) for one in made]
