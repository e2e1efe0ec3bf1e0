"""No error ends a loop."""

import asyncio

import pytest
from structlog.testing import capture_logs

from taskflow_worker import supervision
from taskflow_worker.supervision import supervised


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "_FIRST_PAUSE_S", 0.001)


async def test_a_loop_that_fails_is_logged_and_runs_again_until_it_returns() -> None:
    runs = 0

    async def loop() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise RuntimeError("oops")

    with capture_logs() as logs:
        await asyncio.wait_for(supervised("fetch", loop), 5)

    assert runs == 4
    assert [(entry["event"], entry["loop"]) for entry in logs] == [
        ("worker.loop_failed", "fetch")
    ] * 3
    assert [entry["again_in_s"] for entry in logs] == [0.001, 0.002, 0.004], "the pause doubles"


async def test_a_supervised_loop_can_be_cancelled() -> None:
    started = asyncio.Event()

    async def loop() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(supervised("fetch", loop))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
