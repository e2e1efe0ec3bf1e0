"""The line and the JSON of a flow."""

from typing import Any

from taskflow_cli.local import flows
from taskflow_core.queue.signals import FlowDepth, FlowSignals, WorkerBeat

NOW = 1_000_000.0


def beat(**fields: Any) -> WorkerBeat:
    defaults: dict[str, Any] = {
        "replica": "worker-1",
        "session": 1,
        "slots": 20,
        "busy": 0,
        "oldest_running_s": 0.0,
        "mean_service_s": None,
        "done": 0,
        "failed": 0,
        "loop_lag_s": 0.0,
        "rss_bytes": 1,
        "started_at": NOW - 60,
        "progress_at": NOW,
        "stopping": False,
        "at": NOW,
    }
    return WorkerBeat(**(defaults | fields))


def signals(
    *beats: WorkerBeat, backlog: int = 0, running: int = 0, oldest: float = 0
) -> FlowSignals:
    return FlowSignals("default", beats, FlowDepth(backlog, 0, 40, running, oldest, NOW), {})


def test_an_idle_flow() -> None:
    seen = signals(beat(), beat(replica="worker-2", session=2))

    assert flows.line(seen, 1, {"default": 2}, NOW) == (
        "default  waiting 0  running 0  done 1  workers 2/2 idle"
    )


def test_a_busy_flow_says_how_late_it_is() -> None:
    seen = signals(beat(busy=20), backlog=12_345, running=20, oldest=75)

    assert flows.line(seen, 0, {"default": 2}, NOW) == (
        "default  waiting 12,345  running 20  done 0  workers 1/2 20/20 slots busy"
        "  oldest waits 1 min 15 s"
    )


def test_without_a_dispatchers_word_what_waits_is_unknown() -> None:
    seen = FlowSignals("default", (beat(busy=3),), None, {})

    assert "waiting ?  running 3" in flows.line(seen, 0, {}, NOW)


def test_silent_and_stopping_workers_do_not_count() -> None:
    seen = signals(beat(at=NOW - 16), beat(stopping=True), beat(replica="worker-2"))

    assert [worker.replica for worker in flows.alive(seen, NOW)] == ["worker-2"]


def test_done_counts_on_over_the_end_of_a_worker() -> None:
    tally = flows.Tally()

    assert tally.done(signals(beat(session=1, done=5, failed=1))) == 6
    assert tally.done(signals(beat(session=1, done=6, failed=1))) == 7
    assert tally.done(signals(beat(session=2, done=1))) == 8
    assert tally.done(signals()) == 8


def test_the_mean_time_is_weighted_by_what_each_worker_did() -> None:
    few, many = beat(mean_service_s=1.0, done=10), beat(mean_service_s=2.0, done=30)

    assert flows.mean_service_s([few, many]) == 1.75
    assert flows.mean_service_s([beat()]) is None


def test_json_has_what_a_script_asks_for() -> None:
    seen = signals(beat(busy=2, done=7), backlog=3, running=2, oldest=1.5)

    shown = flows.as_json(seen, NOW)

    assert (shown["flow"], shown["waiting"], shown["running"]) == ("default", 3, 2)
    assert (shown["busy"], shown["slots"], shown["arrivals_per_s"]) == (2, 20, 0.0)
    assert [worker["done"] for worker in shown["workers"]] == [7]
