"""Lists, single reads and logs on a real database: what is seen, in which order, at what cost."""

import base64
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from taskflow_api.cursors import CursorRefused, Cursors
from taskflow_api.keyring import Keyring
from taskflow_api.tasks import queries
from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.changing import Command, delete_task, patch_task
from taskflow_api.tasks.errors import ListTooSlow, TaskNotFound
from taskflow_api.tasks.filters import EventFilters, TaskFilters
from taskflow_api.tasks.reading import event_page, task_by_id, task_page
from taskflow_api.tasks.rows import PageRow, TaskRow, encode
from taskflow_api.tasks.schemas import TaskEventPage, TaskPage, TaskPatch, TaskRead
from taskflow_api.tasks.sorting import Sort
from taskflow_core.db.database import Database
from taskflow_core.errors import ValidationFailed
from taskflow_core.ids import new_id
from taskflow_core.settings import AuthSettings, DatabaseSettings, SigningKey
from taskflow_core.tasks.states import Priority
from tests.integration.taskflow_api.tasks.factory import (
    ASSIGNEE,
    MANAGER,
    OWNER,
    STRANGER,
    create,
    start,
)

SORTS = [
    f"{sign}{name}"
    for sign in ("", "-")
    for name in ("created_at", "updated_at", "due_at", "priority")
]
NEXT_YEAR = datetime(2031, 1, 1, tzinfo=UTC)


KEY, OTHER_KEY = (base64.urlsafe_b64encode(bytes(range(n, n + 32))).decode() for n in (0, 100))


def cursors(secret: str = KEY) -> Cursors:
    key = SigningKey(kid="k1", secret=SecretStr(secret))
    return Cursors(Keyring(AuthSettings(TASKFLOW_JWT_KEYS=(key,))))


async def page(database: Database, viewer: Viewer = OWNER, **query: Any) -> PageRow[TaskRow]:
    return await task_page(database, cursors(), viewer, TaskFilters.model_validate(query))


async def ids(database: Database, viewer: Viewer = OWNER, **query: Any) -> list[UUID]:
    return [task.id for task in (await page(database, viewer, **query)).data]


async def every_page(database: Database, viewer: Viewer = OWNER, **query: Any) -> list[UUID]:
    """Follow the cursors to the end of a list."""
    found: list[UUID] = []
    cursor = None
    for _ in range(100):
        shown = await page(database, viewer, cursor=cursor, **query)
        found += [task.id for task in shown.data]
        cursor = shown.meta.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the list has no end")


async def varied(database: Database) -> dict[UUID, tuple[datetime | None, Priority]]:
    """Create tasks that share due dates and priorities, by way of both ownership and assignment."""
    made: dict[UUID, tuple[datetime | None, Priority]] = {}
    dues = [None, NEXT_YEAR, NEXT_YEAR + timedelta(days=1)]
    for due, priority in itertools.product(dues, Priority):
        for people in (
            {"owner_id": OWNER.id},
            {"owner_id": STRANGER.id, "assignee_id": OWNER.id},
            {"owner_id": OWNER.id, "assignee_id": OWNER.id},
        ):
            made[await create(database, due_at=due, priority=priority, **people)] = (due, priority)
    return made


# ---- one task -------------------------------------------------------------------------------------


async def test_a_read_shows_what_the_model_promises(database: Database) -> None:
    task = await create(
        database,
        handler="echo",
        publish=True,
        payload={"n": [1, 2.5, "ü"]},
        timeout_s=1.5,
        due_at=NEXT_YEAR,
        priority=Priority.HIGH,
    )
    await start(database, task)
    await database.fetch("update tasks set progress = '0.5', error = '{\"reason\": \"x\"}'")

    body = encode(await task_by_id(database, OWNER, task))

    read = TaskRead.model_validate_json(body)
    assert (read.priority, read.status, read.attempt) == ("HIGH", "IN_PROGRESS", 1)
    assert (read.payload, read.progress) == ({"n": [1, 2.5, "ü"]}, 0.5)
    assert (read.error, read.result, read.due_at) == ({"reason": "x"}, None, NEXT_YEAR)
    assert b'"due_at":"2031-01-01T00:00:00Z"' in body
    again = TaskRead.model_validate_json(read.model_dump_json())
    assert again == read


@pytest.mark.parametrize("viewer", [OWNER, ASSIGNEE, MANAGER])
async def test_owner_assignee_and_managers_see_a_task(database: Database, viewer: Viewer) -> None:
    task = await create(database, assignee_id=ASSIGNEE.id)

    assert (await task_by_id(database, viewer, task)).id == task


async def test_others_find_nothing(database: Database) -> None:
    task = await create(database, assignee_id=ASSIGNEE.id)

    with pytest.raises(TaskNotFound):
        await task_by_id(database, STRANGER, task)
    with pytest.raises(TaskNotFound):
        await task_by_id(database, MANAGER, new_id())


# ---- lists ----------------------------------------------------------------------------------------


async def test_a_list_has_what_is_owned_and_what_is_assigned_once_each(database: Database) -> None:
    owned = await create(database)
    given = await create(database, owner_id=STRANGER.id, assignee_id=OWNER.id)
    both = await create(database, assignee_id=OWNER.id)
    strange = await create(database, owner_id=STRANGER.id)

    assert await ids(database) == [both, given, owned]
    assert await ids(database, MANAGER) == [strange, both, given, owned]
    assert await ids(database, ASSIGNEE) == []


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("viewer", [OWNER, MANAGER])
async def test_pages_by_cursor_and_by_number_hold_the_whole_list_in_order(
    database: Database, sort: str, viewer: Viewer
) -> None:
    made = await varied(database)
    await database.fetch("update tasks set updated_at = now() where priority = 1")

    found = await every_page(database, viewer, sort=sort, limit=4)

    assert sorted(found) == sorted(made)
    numbered = [await ids(database, viewer, sort=sort, limit=4, page=n) for n in range(1, 9)]
    assert found == list(itertools.chain.from_iterable(numbered))
    match sort.removeprefix("-"):
        case "created_at":
            assert found == sorted(made, reverse=sort.startswith("-"))
        case "due_at":
            dues = [made[task][0] for task in found]
            known = [due for due in dues if due is not None]
            assert known == sorted(known, reverse=sort.startswith("-"))
            assert dues[len(known) :] == [None] * 9, "never due comes last"
        case "priority":
            priorities = [made[task][1] for task in found]
            assert priorities == sorted(priorities, reverse=sort.startswith("-"))
        case _:
            renewed = [made[task][1] == Priority.MEDIUM for task in found]
            assert renewed == sorted(renewed, reverse=sort.startswith("-"))


async def test_tasks_that_come_and_go_shift_no_page(database: Database) -> None:
    made = [await create(database) for _ in range(6)]
    first = await page(database, limit=2)
    await create(database)
    await delete_task(database, Command(OWNER, made[-1]))

    second = await page(database, limit=2, cursor=first.meta.next_cursor)

    assert [task.id for task in second.data] == [made[3], made[2]]


async def test_the_last_page_has_no_cursor(database: Database) -> None:
    for _ in range(2):
        await create(database)

    assert (await page(database, limit=2)).meta.next_cursor is None
    assert (await page(database, limit=1)).meta.next_cursor is not None


async def test_each_filter_keeps_what_it_says(database: Database) -> None:
    past, due = datetime.now(UTC) - timedelta(days=1), NEXT_YEAR
    plain = await create(database, title="plain")
    late = await create(database, title="late", due_at=past)
    late_but_done = await create(database, title="late, done", due_at=past)
    await patch_task(database, Command(OWNER, late_but_done), TaskPatch(status="COMPLETED"))
    workers = await create(
        database, title="work", handler="echo", flow="emails", priority=Priority.HIGH
    )
    given = await create(
        database, title="given", owner_id=STRANGER.id, assignee_id=OWNER.id, due_at=due
    )

    assert await ids(database, status=["COMPLETED"]) == [late_but_done]
    assert await ids(database, status=["COMPLETED", "PENDING", "FAILED"], limit=2) == [
        given,
        workers,
    ]
    assert await ids(database, priority=["HIGH"]) == [workers]
    assert await ids(database, owner_id=STRANGER.id) == [given]
    assert await ids(database, assignee_id=OWNER.id) == [given]
    assert await ids(database, flow="emails") == [workers]
    assert await ids(database, handler="echo") == [workers]
    assert await ids(database, overdue=True) == [late]
    assert await ids(database, overdue=False) == [given, workers, late_but_done, plain]
    assert await ids(database, due_from="2031-01-01T00:00:00Z") == [given]
    assert await ids(database, due_to="2031-01-01T00:00:00Z") == [late_but_done, late]
    created = (await task_by_id(database, OWNER, late)).created_at.isoformat()
    assert await ids(database, created_to=created) == [plain]
    assert await ids(database, created_from=created) == [given, workers, late_but_done, late]
    assert await ids(database, search="LATE", status=["PENDING"]) == [late]


async def test_a_filter_shows_nobody_elses_tasks(database: Database) -> None:
    await create(database, owner_id=STRANGER.id, assignee_id=ASSIGNEE.id)

    assert await ids(database, OWNER, owner_id=STRANGER.id) == []
    assert await ids(database, OWNER, assignee_id=ASSIGNEE.id) == []


@pytest.mark.parametrize("text", ["50%", "a_b", "back\\slash", "100%_\\"])
async def test_a_search_takes_its_text_literally(database: Database, text: str) -> None:
    hit = await create(database, title="x", description=f"about {text} of it")
    await create(database, title="50 a-b backslash 100")

    assert await ids(database, search=text) == [hit]


async def test_a_total_counts_the_filtered_list(database: Database) -> None:
    made = await varied(database)

    assert (await page(database, total=True, limit=1)).meta.total == len(made)
    assert (await page(database, total=True, priority=["LOW"])).meta.total == 9
    assert (await page(database, MANAGER, total=True)).meta.total == len(made)
    assert b"total" not in encode(await page(database))


async def test_an_encoded_page_is_what_the_model_promises(database: Database) -> None:
    await varied(database)

    shown = TaskPage.model_validate_json(encode(await page(database, page=2, limit=5, total=True)))

    assert len(shown.data) == 5
    assert (shown.meta.limit, shown.meta.page, shown.meta.total) == (5, 2, 27)


async def test_a_cursor_is_good_for_one_list_of_one_viewer_only(database: Database) -> None:
    for _ in range(3):
        await create(database)
    cursor = (await page(database, limit=1)).meta.next_cursor
    assert cursor is not None

    for viewer, query in (
        (OWNER, {"sort": "created_at"}),
        (OWNER, {"status": ["PENDING"]}),
        (STRANGER, {}),
        (MANAGER, {}),
        (Viewer(OWNER.id, manages=True), {}),
    ):
        with pytest.raises(CursorRefused):
            await page(database, viewer, cursor=cursor, **query)
    assert len(await ids(database, cursor=cursor, limit=50)) == 2, "the size may change"


@pytest.mark.parametrize("cursor", ["", "x", "é", "AAAA", "%00", "a" * 5_000, "=" * 8])
async def test_a_cursor_that_is_none_of_ours_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(CursorRefused) as refused:
        await page(database, cursor=cursor)
    assert [error.pointer for error in refused.value.errors] == ["/query/cursor"]


async def test_a_cursor_with_one_changed_character_is_refused(database: Database) -> None:
    for _ in range(3):
        await create(database)
    cursor = (await page(database, limit=1)).meta.next_cursor
    assert cursor is not None

    for at in range(0, len(cursor), 5):
        changed = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(CursorRefused):
            await page(database, cursor=changed)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"page": 101, "limit": 100}, "cursor"),
        ({"page": 10**30}, "cursor"),
        ({"page": 1, "cursor": "x"}, "combined"),
    ],
)
async def test_pages_by_number_end_where_cursors_must_take_over(
    database: Database, query: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        await page(database, **query)
    ((error,),) = [refused.value.errors]
    assert error.pointer == "/query/page"
    assert words in error.detail
    assert await ids(database, page=100, limit=100) == []


async def test_a_list_that_takes_too_long_says_so(
    database: Database, database_settings: DatabaseSettings
) -> None:
    hasty = database_settings.model_copy(update={"statement_timeout_s": 0.2})
    async with (
        Database.open(hasty, application_name="hasty") as impatient,
        database.connection() as other,
        other.transaction(),
    ):
        await other.execute("lock table tasks")

        with pytest.raises(ListTooSlow):
            await page(impatient, search="x")


# ---- the cost of a list ---------------------------------------------------------------------------


async def plan_of(database: Database, viewer: Viewer, *, after: bool) -> list[dict[str, Any]]:
    """Run the default list under EXPLAIN ANALYZE; return the plan's nodes."""
    shape = queries.Shape(
        viewer.manages, frozenset(), Sort("created_at", descending=True), after=after, offset=False
    )
    statement = queries.page(shape)
    ((middle,),) = await database.fetch("select id from tasks order by id offset 5000 limit 1")
    values = {"me": viewer.id, "rows": 21, "after_id": middle}
    async with database.connection() as connection:
        cursor = await connection.execute("select 1")
        sql, parameters = statement.sql, statement.parameters(values)
        for n, value in reversed(list(enumerate(parameters, 1))):
            sql = sql.replace(f"${n}::", f"'{value}'::")
        await cursor.execute(f"explain (analyze, format json) {sql}".encode())
        ((plans,),) = await cursor.fetchall()
    return list(_nodes(plans[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> "itertools.chain[dict[str, Any]]":
    return itertools.chain(
        [node], itertools.chain.from_iterable(_nodes(child) for child in node.get("Plans", []))
    )


@pytest.fixture
async def crowded(database: Database) -> Database:
    """Ten thousand tasks: a third the owner's, a third also given to them, a third of others."""
    await database.fetch(
        """
        insert into tasks (id, owner_id, assignee_id, title, flow)
        select gen_random_uuid(), case n % 3 when 2 then $2::uuid else $1::uuid end,
               case n % 3 when 0 then null else $1::uuid end, 't', 'default'
          from generate_series(1, 10000) n
        """,
        OWNER.id,
        STRANGER.id,
    )
    await database.fetch("analyze tasks")
    return database


@pytest.mark.parametrize("after", [False, True])
async def test_the_default_list_is_two_index_ranges_cut_to_a_page(
    crowded: Database, *, after: bool
) -> None:
    nodes = await plan_of(crowded, OWNER, after=after)

    scans = {
        n["Index Name"]: n["Actual Rows"]
        for n in nodes
        if "Scan" in n["Node Type"] and "Index Name" in n
    }
    assert set(scans) == {"ix_tasks_owner_id", "ix_tasks_assignee_id"}
    assert max(scans.values()) <= 21, "no more rows than a page are read"
    assert not [n for n in nodes if n["Node Type"] in {"Seq Scan", "Sort", "Bitmap Heap Scan"}]


async def test_a_managers_list_is_one_index_range(crowded: Database) -> None:
    nodes = await plan_of(crowded, MANAGER, after=True)

    (scan,) = [n for n in nodes if "Scan" in n["Node Type"]]
    assert (scan["Index Name"], scan["Actual Rows"]) == ("pk_tasks", 21)


# ---- logs -----------------------------------------------------------------------------------------


async def test_a_log_is_paged_oldest_first(database: Database) -> None:
    task = await create(database)
    for n in range(4):
        await patch_task(database, Command(OWNER, task), TaskPatch(title=f"t{n}"))
    await create(database)

    found: list[int] = []
    cursor = None
    for size in (2, 2, 1):
        shown = await event_page(
            database, cursors(), OWNER, task, EventFilters(limit=2, cursor=cursor)
        )
        assert len(shown.data) == size
        read = TaskEventPage.model_validate_json(encode(shown))
        assert {event.attempt for event in read.data} == {0}
        found += [event.id for event in shown.data]
        cursor = shown.meta.next_cursor
    assert cursor is None
    assert found == sorted(found)
    assert len(set(found)) == 5


async def test_a_log_is_shown_to_those_who_see_the_task(database: Database) -> None:
    task = await create(database, assignee_id=ASSIGNEE.id)

    for viewer in (OWNER, ASSIGNEE, MANAGER):
        shown = await event_page(
            database, cursors(), viewer, task, EventFilters(limit=9, cursor=None)
        )
        assert [event.type for event in shown.data] == ["task.created"]
    for viewer, id_ in ((STRANGER, task), (MANAGER, new_id())):
        with pytest.raises(TaskNotFound):
            await event_page(database, cursors(), viewer, id_, EventFilters(limit=9, cursor=None))


async def test_managers_read_the_log_of_a_deleted_task(database: Database) -> None:
    task = await create(database)
    await delete_task(database, Command(OWNER, task))

    shown = await event_page(database, cursors(), MANAGER, task, EventFilters(limit=9, cursor=None))

    assert [event.type for event in shown.data] == ["task.created", "task.deleted"]
    with pytest.raises(TaskNotFound):
        await event_page(database, cursors(), OWNER, task, EventFilters(limit=9, cursor=None))


async def test_the_cursor_of_one_log_is_refused_by_another(database: Database) -> None:
    task, other = await create(database), await create(database)
    await patch_task(database, Command(OWNER, task), TaskPatch(title="new"))
    cursor = (
        await event_page(database, cursors(), OWNER, task, EventFilters(limit=1, cursor=None))
    ).meta.next_cursor

    with pytest.raises(CursorRefused):
        await event_page(database, cursors(), OWNER, other, EventFilters(limit=1, cursor=cursor))
    with pytest.raises(CursorRefused):
        await event_page(
            database, cursors(OTHER_KEY), OWNER, task, EventFilters(limit=1, cursor=cursor)
        )
