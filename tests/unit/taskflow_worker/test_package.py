"""What the package shows without importing more than it is asked for."""

import subprocess
import sys

import pytest

import taskflow_worker


def test_the_four_names_are_there() -> None:
    for name in taskflow_worker.__all__:
        assert getattr(taskflow_worker, name).__module__.startswith("taskflow_worker")


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'retry'"):
        taskflow_worker.retry  # noqa: B018 - asked for on purpose


def test_the_dispatcher_starts_without_taskiq() -> None:
    look = "import sys, taskflow_worker.dispatcher.__main__; sys.exit('taskiq' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
