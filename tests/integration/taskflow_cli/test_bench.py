"""`taskflow bench queue`: small, for its checks and its JSON; figures are for quiet machines."""

import json
from pathlib import Path

import pytest

from taskflow_cli.bench import cores
from tests.support.stack import taskflow


@pytest.mark.timeout(180)
def test_the_last_line_is_the_result_and_the_file_has_it_too(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"

    done = taskflow("bench", "queue", "--tasks", "1000", "--seconds", "1", "--json", str(file))

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures == json.loads(file.read_text())
    assert figures["case"] == "queue"
    assert set(figures["versions"]) == {"taskflow", "python", "postgresql", "valkey"}
    assert figures["cores"]["loop_ms"] > 0
    (row,) = figures["rows"]
    assert (row["name"], row["tasks"]) == ("taskflow", 1000)
    assert row["rate"] > 0
    assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert "all completed once, history kept" in done.stdout


def test_servers_and_worker_never_share_a_core_where_there_are_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {5, 2, 7})
    chosen = cores.choose()

    assert (sorted(chosen.servers), sorted(chosen.worker)) == ([2], [5])
    assert chosen.as_json() == {"servers_and_load": [2], "worker": [5]}


def test_one_core_is_not_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3})

    assert cores.choose().worker == frozenset()
    assert "not pinned" in str(cores.choose().as_json())
