"""Changes of tasks on a real database: who may, what follows, and what concurrent ones do."""

import asyncio
import itertools
from typing import Any
from uuid import UUID

import pytest

from taskflow_api.tasks.access import Viewer
from taskflow_api.tasks.changing import Command, assign_task, cancel_task, delete_task, patch_task
from taskflow_api.tasks.errors import (
    AlreadyFinal,
    AssigneeRefused,
    NotTheOwner,
    StatusOfExecutable,
    StillRunning,
    TaskNotFound,
    TransitionRefused,
    VersionChanged,
)
from taskflow_api.tasks.rows import TaskRow
from taskflow_api.tasks.schemas import TaskPatch
from taskflow_core.db.database import Database
from taskflow_core.db.link import array
from taskflow_core.ids import new_id
from taskflow_core.queue import statements
from tests.integration.taskflow_api.tasks.factory import (
    ASSIGNEE,
    MANAGER,
    OWNER,
    STRANGER,
    create,
    events,
    start,
    user,
)


async def patch(
    database: Database,
    task: UUID,
    viewer: Viewer = OWNER,
    *,
    expected: list[int] | None = None,
    **fields: Any,
) -> TaskRow:
    command = Command(viewer, task, expected)
    return await patch_task(database, command, TaskPatch.model_validate(fields))


async def complete(
    database: Database, session: int, task: UUID, outcome: str = "COMPLETED"
) -> None:
    """End the first attempt of a task."""
    rows = await database.fetch(
        statements.COMPLETE,
        session,
        array([str(task)]),
        array(["1"]),
        array([outcome]),
        array(["0"]),
        "[null]",
    )
    assert len(rows) == 1


# ---- patch ----------------------------------------------------------------------------------------


async def test_a_patch_changes_what_was_sent_and_logs_the_names(database: Database) -> None:
    task = await create(database, description="d")

    after = await patch(
        database, task, title="new", priority="HIGH", due_at="2030-01-01T00:00:00+02:00"
    )

    assert (after.title, after.priority, after.description, after.version) == (
        "new",
        "HIGH",
        "d",
        2,
    )
    assert str(after.due_at) == "2029-12-31 22:00:00+00:00"
    assert after.updated_at > after.created_at
    assert await events(database, task) == [
        ("created", None),
        ("updated", {"fields": ["title", "priority", "due_at"]}),
    ]


async def test_null_clears_and_absent_keeps(database: Database) -> None:
    task = await create(database, description="d")
    await patch(database, task, due_at="2030-01-01T00:00:00Z")

    after = await patch(database, task, description=None)

    assert after.description is None
    assert after.due_at is not None
    assert (await patch(database, task, due_at=None)).due_at is None


@pytest.mark.parametrize("fields", [{}, {"title": "t"}, {"title": "t", "status": "PENDING"}])
async def test_a_patch_that_changes_nothing_is_no_new_version(
    database: Database, fields: dict[str, Any]
) -> None:
    task = await create(database)

    after = await patch(database, task, **fields)

    assert after.version == 1
    assert after.updated_at == after.created_at
    assert await events(database, task) == [("created", None)]


async def test_a_person_moves_their_task_freely(database: Database) -> None:
    task = await create(database)

    started = await patch(database, task, status="IN_PROGRESS")
    done = await patch(database, task, status="COMPLETED")
    reopened = await patch(database, task, status="PENDING")

    assert (started.status, started.finished_at) == ("IN_PROGRESS", None)
    assert started.started_at is not None
    assert done.started_at == started.started_at
    assert done.finished_at is not None
    assert (reopened.status, reopened.finished_at) == ("PENDING", None)
    assert await events(database, task) == [
        ("created", None),
        ("status_changed", {"from": "PENDING", "to": "IN_PROGRESS"}),
        ("status_changed", {"from": "IN_PROGRESS", "to": "COMPLETED"}),
        ("status_changed", {"from": "COMPLETED", "to": "PENDING"}),
    ]


async def test_status_and_fields_together_make_two_events_of_one_version(
    database: Database,
) -> None:
    task = await create(database)

    after = await patch(database, task, status="COMPLETED", title="done")

    assert after.version == 2
    assert {type_ for type_, _ in await events(database, task)} == {
        "created",
        "updated",
        "status_changed",
    }


async def test_a_persons_task_cannot_fail(database: Database) -> None:
    task = await create(database)

    with pytest.raises(TransitionRefused, match="can become: IN_PROGRESS") as refused:
        await patch(database, task, status="FAILED", title="x")

    assert refused.value.extensions["allowed"] == ["IN_PROGRESS", "COMPLETED", "CANCELLED"]
    assert await events(database, task) == [("created", None)]


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED"])
async def test_the_status_of_a_workers_task_is_not_patched(database: Database, status: str) -> None:
    task = await create(database, handler="echo")

    with pytest.raises(StatusOfExecutable, match=f"/api/v1/tasks/{task}/cancel"):
        await patch(database, task, status=status, title="x")

    assert (await patch(database, task)).title == "t", "nothing of the patch was done"


async def test_the_other_fields_of_a_workers_task_are_patched(database: Database) -> None:
    task = await create(database, handler="echo", publish=True)

    after = await patch(database, task, title="new", priority="LOW")

    assert (after.title, after.priority, after.status) == ("new", "LOW", "PENDING")


@pytest.mark.parametrize("viewer", [ASSIGNEE, MANAGER])
async def test_assignees_and_managers_patch_too(database: Database, viewer: Viewer) -> None:
    task = await create(database, assignee_id=ASSIGNEE.id)

    assert (await patch(database, task, viewer, status="COMPLETED")).status == "COMPLETED"


async def test_a_stranger_finds_nothing_to_change(database: Database) -> None:
    task = await create(database, assignee_id=ASSIGNEE.id)
    command = Command(STRANGER, task)

    with pytest.raises(TaskNotFound):
        await patch(database, task, STRANGER, title="x")
    with pytest.raises(TaskNotFound):
        await assign_task(database, command, None)
    with pytest.raises(TaskNotFound):
        await cancel_task(database, command)
    with pytest.raises(TaskNotFound):
        await delete_task(database, command)
    assert await events(database, task) == [("created", None)]


async def test_another_version_than_expected_is_refused_by_every_change(
    database: Database,
) -> None:
    task = await create(database)
    await patch(database, task, title="theirs")
    command = Command(OWNER, task, expected=[1])

    with pytest.raises(VersionChanged, match="version 2"):
        await patch(database, task, expected=[1], title="mine")
    with pytest.raises(VersionChanged):
        await patch(database, task, expected=[], title="theirs")
    with pytest.raises(VersionChanged):
        await assign_task(database, command, await user(database))
    with pytest.raises(VersionChanged):
        await cancel_task(database, command)
    with pytest.raises(VersionChanged):
        await delete_task(database, command)

    assert (await patch(database, task, expected=[7, 2], title="mine")).version == 3


async def test_of_two_patches_on_one_version_one_wins(database: Database) -> None:
    task = await create(database)

    results = await asyncio.gather(
        *(patch(database, task, expected=[1], title=f"t{n}") for n in range(20)),
        return_exceptions=True,
    )

    (winner,) = [result for result in results if isinstance(result, TaskRow)]
    assert [type(r) for r in results if r is not winner] == [VersionChanged] * 19
    assert (await patch(database, task)).title == winner.title


async def test_concurrent_patches_of_different_fields_lose_none(database: Database) -> None:
    task = await create(database)
    changes: list[dict[str, Any]] = [
        {"title": "new"},
        {"description": "new"},
        {"priority": "HIGH"},
        {"due_at": "2030-01-01T00:00:00Z"},
        {"status": "COMPLETED"},
    ]

    await asyncio.gather(*(patch(database, task, **change) for change in changes))

    after = await patch(database, task)
    assert (after.title, after.description, after.priority, after.status, after.version) == (
        "new",
        "new",
        "HIGH",
        "COMPLETED",
        6,
    )
    assert len(await events(database, task)) == 6


async def test_each_of_many_concurrent_moves_starts_where_the_one_before_ended(
    database: Database,
) -> None:
    task = await create(database)
    targets = ["IN_PROGRESS", "COMPLETED", "CANCELLED", "PENDING"] * 10

    await asyncio.gather(*(patch(database, task, status=target) for target in targets))

    moves = [data for type_, data in await events(database, task) if type_ == "status_changed"]
    for before, after in itertools.pairwise(moves):
        assert before["to"] == after["from"]
    assert (await patch(database, task)).version == 1 + len(moves)


# ---- assign ---------------------------------------------------------------------------------------


async def test_a_task_is_given_to_somebody_and_taken_back(database: Database) -> None:
    task, ada = await create(database), await user(database)

    assert (await assign_task(database, Command(OWNER, task), ada)).assignee_id == ada
    again = await assign_task(database, Command(MANAGER, task), ada)
    assert again.version == 2, "the same assignee again changes nothing"
    assert (await assign_task(database, Command(OWNER, task), None)).assignee_id is None
    assert await events(database, task) == [
        ("created", None),
        ("assigned", {"from": None, "to": str(ada)}),
        ("assigned", {"from": str(ada), "to": None}),
    ]


async def test_nobody_is_given_a_task_who_is_not_an_active_user(database: Database) -> None:
    task, gone = await create(database), await user(database, active=False)
    deleted = await user(database)
    await database.fetch("update users set deleted_at = now() where id = $1", deleted)

    for nobody in (new_id(), gone, deleted):
        with pytest.raises(AssigneeRefused):
            await assign_task(database, Command(OWNER, task), nobody)
    assert await events(database, task) == [("created", None)]


async def test_an_assignee_cannot_hand_a_task_on_or_delete_it(database: Database) -> None:
    task, other = await create(database, assignee_id=ASSIGNEE.id), await user(database)

    with pytest.raises(NotTheOwner):
        await assign_task(database, Command(ASSIGNEE, task), other)
    with pytest.raises(NotTheOwner):
        await delete_task(database, Command(ASSIGNEE, task))


# ---- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [None, "echo"])
async def test_what_waits_is_cancelled_at_once(database: Database, handler: str | None) -> None:
    task = await create(database, handler=handler, publish=True)

    after = await cancel_task(database, Command(OWNER, task))

    assert after.status == "CANCELLED"
    assert after.finished_at is not None
    assert [type_ for type_, _ in await events(database, task)] == ["created", "cancelled"]


async def test_a_cancelled_task_is_not_claimed(database: Database) -> None:
    task = await create(database, handler="echo", publish=True)
    await cancel_task(database, Command(OWNER, task))
    ((session,),) = await database.fetch(statements.OPEN_SESSION, "default", "replica-1")

    assert await database.fetch(statements.CLAIM, session, array([str(task)]), "{}") == []


async def test_a_running_task_is_asked_to_stop_once(database: Database) -> None:
    task = await create(database, handler="echo", publish=True)
    session = await start(database, task)

    first = await cancel_task(database, Command(OWNER, task))
    again = await cancel_task(database, Command(OWNER, task))

    assert (first.status, again.status) == ("IN_PROGRESS", "IN_PROGRESS")
    assert again.version == first.version
    assert await database.fetch(statements.HELD, session) == [(str(task), 1, True)]
    assert [type_ for type_, _ in await events(database, task)] == [
        "created",
        "started",
        "cancel_requested",
    ]


async def test_what_has_ended_is_not_cancelled(database: Database) -> None:
    persons, workers = await create(database), await create(database, handler="echo", publish=True)
    await patch(database, persons, status="COMPLETED")
    await complete(database, await start(database, workers), workers)

    for task in (persons, workers):
        with pytest.raises(AlreadyFinal, match="COMPLETED"):
            await cancel_task(database, Command(OWNER, task))


async def test_a_cancel_and_a_claim_never_both_win(database: Database) -> None:
    tasks = [await create(database, handler="echo", publish=True) for _ in range(20)]
    ((session,),) = await database.fetch(statements.OPEN_SESSION, "default", "replica-1")

    async def claim(task: UUID) -> bool:
        return bool(await database.fetch(statements.CLAIM, session, array([str(task)]), "{}"))

    for task in tasks:
        after, claimed = await asyncio.gather(
            cancel_task(database, Command(OWNER, task)), claim(task)
        )
        ((status, worker, asked),) = await database.fetch(
            "select status, worker, cancel_requested_at is not null from tasks where id = $1", task
        )
        if claimed:
            assert (after.status, status, worker, asked) == (
                "IN_PROGRESS",
                "IN_PROGRESS",
                session,
                True,
            )
        else:
            assert (after.status, status, worker, asked) == ("CANCELLED", "CANCELLED", None, False)


# ---- delete ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("viewer", [OWNER, MANAGER])
async def test_a_deleted_task_is_gone_and_its_log_stays(database: Database, viewer: Viewer) -> None:
    task = await create(database, handler="echo")

    await delete_task(database, Command(viewer, task))

    with pytest.raises(TaskNotFound):
        await patch(database, task, title="x")
    assert (await events(database, task))[-1] == ("deleted", {"status": "PENDING"})


async def test_a_running_task_is_not_deleted(database: Database) -> None:
    task = await create(database, handler="echo", publish=True)
    session = await start(database, task)

    with pytest.raises(StillRunning, match=f"/api/v1/tasks/{task}/cancel"):
        await delete_task(database, Command(OWNER, task))

    await complete(database, session, task)
    await delete_task(database, Command(OWNER, task))


async def test_a_persons_task_in_progress_is_deleted(database: Database) -> None:
    task = await create(database)
    await patch(database, task, status="IN_PROGRESS")

    await delete_task(database, Command(OWNER, task))


async def test_of_many_deletes_one_is_done(database: Database) -> None:
    task = await create(database)

    results = await asyncio.gather(
        *(delete_task(database, Command(OWNER, task)) for _ in range(20)), return_exceptions=True
    )

    assert results.count(None) == 1
    assert sum(isinstance(result, TaskNotFound) for result in results) == 19
    assert [type_ for type_, _ in await events(database, task)] == ["created", "deleted"]
