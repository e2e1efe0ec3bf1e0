"""The mean time of a flow's tasks, from what its workers say."""

import random
import statistics

import pytest

from taskflow_operator.service import Said, Service, service_time

UNKNOWN = Service()


def test_nobody_says_anything() -> None:
    assert service_time([], UNKNOWN) == UNKNOWN
    assert service_time([Said(None, 0, 40.0)], UNKNOWN) == UNKNOWN


def test_a_flow_at_zero_has_not_forgotten() -> None:
    assert service_time([], Service(2.0, 400)) == Service(2.0, 400)


def test_workers_are_weighted_by_what_their_means_stand_on() -> None:
    assert service_time([Said(1.0, 10), Said(2.0, 30)], UNKNOWN) == Service(1.75, 40)


def test_a_worker_says_no_more_than_its_last_fifty() -> None:
    assert service_time([Said(1.0, 5000), Said(2.0, 50)], UNKNOWN).mean_s == 1.5


def test_a_worker_without_an_ended_task_counts_for_what_it_runs() -> None:
    assert service_time([Said(10.0, 20), Said(None, 0, 400.0)], UNKNOWN).mean_s == 30.0


def test_a_settled_flow_is_hardly_corrected() -> None:
    assert service_time([Said(2.0, 10_000, 20.0)], UNKNOWN).mean_s == pytest.approx(2.0, abs=0.01)


def test_long_tasks_are_not_called_quick_because_the_short_ones_end_first() -> None:
    """Thirty seconds into a flow of tasks of two minutes."""
    plain, corrected = [], []
    for seed in range(60):
        chance = random.Random(seed)
        times = [chance.expovariate(1 / 120) for _ in range(100)]
        ended = [time for time in times if time <= 30]
        running = [30.0 for time in times if time > 30]
        plain.append(statistics.mean(ended))
        said = Said(statistics.mean(ended), len(ended), sum(running))
        corrected.append(service_time([said], UNKNOWN).mean_s or 0.0)

    assert statistics.mean(plain) < 20
    assert statistics.median(corrected) == pytest.approx(120, rel=0.15)
