"""One stack in the background, and everything one can do with it."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskflow_cli.local.processes import identify
from tests.support.stack import Stack, running, taskflow
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack") / "data") as started:
        yield started


def status(stack: Stack) -> dict[str, Any]:
    done = taskflow("status", "--json", "--data", str(stack.data))
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in document["parts"] if part["name"] == name)
    return found


def submit(stack: Stack, *arguments: str, **environment: str) -> Any:
    return taskflow("submit", "--data", str(stack.data), *arguments, **environment)


def test_a_second_up_says_where_the_first_runs(stack: Stack) -> None:
    second = taskflow("up", "--data", str(stack.data))

    assert second.returncode == 1
    assert stack.url in second.stderr
    assert "taskflow down --data" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_taken_port_names_who_has_it_and_the_option(stack: Stack, tmp_path: Path) -> None:
    port = stack.url.rpartition(":")[2]

    other = taskflow("up", "--port", port, "--data", str(tmp_path / "other"))

    assert other.returncode == 2
    assert f"Port {port} is taken by python" in other.stderr
    assert "--port" in other.stderr


def test_status_shows_parts_and_flows(stack: Stack) -> None:
    document = status(stack)
    text = taskflow("status", "--data", str(stack.data)).stdout

    names = ["api", "dispatcher", "postgres", "valkey", "worker-1", "worker-2"]
    assert sorted(part["name"] for part in document["parts"]) == names
    assert {part["state"] for part in document["parts"]} == {"running"}
    assert document["api_url"] == stack.url
    (flow,) = document["flows"]
    assert (flow["flow"], flow["slots"], len(flow["workers"])) == ("default", 40, 2)
    assert "worker-1" in text
    assert "0/40" in text
    assert taskflow("status", "nonsense", "--data", str(stack.data)).returncode == 1


def test_status_follows_redis_url_from_anywhere(stack: Stack, tmp_path: Path) -> None:
    seen = taskflow(
        "status", "default", "--json", "--data", str(tmp_path), REDIS_URL=stack.state["redis_url"]
    )

    document = json.loads(seen.stdout)
    assert document["running"] is False
    assert [flow["flow"] for flow in document["flows"]] == ["default"]


def test_a_submitted_task_is_followed_to_its_end(stack: Stack) -> None:
    done = submit(stack, "echo", "--payload", '{"n": 7}', "--priority", "high", "--title", "seven")

    assert done.returncode == 0, done.stderr
    assert "COMPLETED" in done.stdout
    assert '{"n": 7}' in done.stdout


def test_a_failed_task_is_exit_code_1_with_the_reason(stack: Stack) -> None:
    done = submit(stack, "fail", "--payload", '{"fatal": true, "message": "no such mailbox"}')

    assert done.returncode == 1
    assert "Fatal: no such mailbox" in done.stderr


def test_what_the_api_refuses_is_exit_code_2(stack: Stack) -> None:
    done = submit(stack, "echo", "--flow", "Not A Flow")

    assert done.returncode == 2
    assert "/flow" in done.stderr


def test_a_wrong_password_is_said(stack: Stack) -> None:
    done = submit(stack, "echo", "--email", "user@example.com", TASKFLOW_PASSWORD="wrong-password")

    assert done.returncode == 1
    assert "refused the login" in done.stderr
    assert "wrong-password" not in done.stderr


def test_a_token_does_instead_of_a_login(stack: Stack) -> None:
    with stack.login() as client:
        token = client.headers["authorization"].removeprefix("Bearer ")

    done = submit(stack, "echo", "--no-watch", "--url", stack.url, TASKFLOW_TOKEN=token)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 36, "the id alone, for scripts"


@pytest.mark.parametrize("name", ["worker-1", "api", "dispatcher", "valkey", "postgres"])
async def test_a_part_that_crashes_is_started_again(stack: Stack, name: str) -> None:
    before = part(status(stack), name)
    os.kill(before["pid"], signal.SIGKILL)

    async def look() -> dict[str, Any]:
        return part(json.loads((stack.data / "state.json").read_text()), name)

    after = await eventually(
        look,
        lambda seen: seen["ready"] and seen["pid"] != before["pid"],
        within_s=40,
        what=f"the restart of {name}",
    )

    assert after["restarts"] == before["restarts"] + 1
    told = taskflow("logs", "up", "--data", str(stack.data)).stdout
    assert f"{name} ended after" in told
    assert "killed by SIGKILL" in told

    async def work() -> int:
        return int(submit(stack, "echo").returncode)

    await eventually(work, lambda code: code == 0, within_s=30, what="a task after the crash")


def test_logs_are_shown_by_part(stack: Stack) -> None:
    done = taskflow("logs", "dispatcher", "-n", "200", "--data", str(stack.data))

    assert done.returncode == 0
    assert "dispatcher.leads" in done.stdout
    unknown = taskflow("logs", "nonsense", "--data", str(stack.data))
    assert unknown.returncode == 2
    assert "worker-1" in unknown.stderr


def test_the_database_commands_find_it(stack: Stack) -> None:
    done = taskflow("db", "check", "--data", str(stack.data))

    assert (done.returncode, done.stderr) == (0, "")


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    before = {one.pid for one in psutil.process_iter()}
    data = tmp_path / "data"

    failed = taskflow(
        "up", "--detach", "--port", "0", "--data", str(data), TASKFLOW_BCRYPT_COST="99"
    )

    assert failed.returncode == 1
    assert "✗ api" in failed.stdout
    assert "TASKFLOW_BCRYPT_COST" in failed.stderr
    ours = [
        one
        for one in psutil.process_iter(["cmdline"])
        if one.pid not in before and str(data) in " ".join(one.info["cmdline"] or [])
    ]
    assert ours == []
    assert taskflow("down", "--data", str(data)).stdout.startswith("No TaskFlow runs in")


def test_down_ends_it_and_says_so_when_there_is_nothing_to_end(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as stack:
        pids = [*stack.pids("").values(), stack.state["supervisor"]["pid"]]

        first = taskflow("down", "--data", str(data))
        second = taskflow("down", "--data", str(data))

    assert (first.returncode, second.returncode) == (0, 0)
    assert "has ended" in first.stdout
    assert "No TaskFlow runs in" in second.stdout
    assert [identify(pid) for pid in pids] == [None] * len(pids)
