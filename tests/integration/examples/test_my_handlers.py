"""`examples/my-handlers`: its own tests pass, and once it is installed workers run its handler."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.ids import new_id
from taskflow_core.queue.window import Entry, Window
from taskflow_core.tasks.create import NewTask, create_tasks
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "my-handlers"
ORDER = {"number": "2031-7", "lines": [{"item": "apples", "quantity": 3, "unit_price": "0.40"}]}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as `pip install` leaves it, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    uv = ROOT / ".tools" / "bin" / "uv"
    command: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        folder,
        EXAMPLE,
    ]
    done = subprocess.run(
        [*command, "--python", sys.executable], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def environment(installed: Path, **variables: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(installed)} | variables


def test_its_own_tests_pass(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLE],
        cwd=ROOT,
        env=environment(installed, PYTEST_ADDOPTS=""),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.fixture
def worker(
    installed: Path, tmp_path: Path, database_url: str, redis_url: str
) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "archive").mkdir()
    variables = environment(
        installed,
        DATABASE_URL=database_url,
        REDIS_URL=redis_url,
        MY_HANDLERS_ARCHIVE=str(tmp_path / "archive"),
    )
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "taskflow_worker"], env=variables, stderr=log, cwd=tmp_path
        ) as process,
    ):
        yield process
        process.terminate()
        assert process.wait(10) == 0, (tmp_path / "worker.log").read_text()


async def test_a_worker_picks_its_handler_up_by_entry_point(
    worker: subprocess.Popen[bytes], tmp_path: Path, database: Database, redis: Redis
) -> None:
    task = NewTask(
        id=new_id(),
        owner_id=new_id(),
        title="invoice",
        handler="orders.invoice",
        payload=ORDER,
        publish=True,
    )
    async with database.connection() as connection:
        await create_tasks(connection, [task], actor="test")
    await Window(redis).publish("default", [Entry(task.id, task.priority)])

    async def state() -> tuple[object, ...]:
        (row,) = await database.fetch("select status, result, error from tasks")
        return row

    status, result, error = await eventually(
        state, lambda seen: seen[0] not in {"PENDING", "IN_PROGRESS"}, within_s=20
    )
    assert (status, result, error) == ("COMPLETED", {"number": "2031-7", "total": "1.20"}, None)
    assert (tmp_path / "archive" / "2031-7.json").exists()
