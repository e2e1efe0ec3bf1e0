"""With `TASKFLOW_TEST_NO_SKIPS` a skipped test fails: in CI nothing may be left out in silence."""

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).with_name("conftest.py")
TESTS = """
import pytest

def test_passes(): pass

@pytest.mark.skip(reason="no such program here")
def test_is_marked(): pass

def test_finds_out(): pytest.skip("no such program either")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail(): assert False
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_some.py").write_text(TESTS)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", folder, folder],
        cwd=CONFTEST.parents[1],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_skip_is_a_skip_on_a_developers_machine(tmp_path: Path) -> None:
    done = run(tmp_path, TASKFLOW_TEST_NO_SKIPS="")

    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped, 1 xfailed" in done.stdout


def test_a_skip_is_a_failure_where_everything_must_run(tmp_path: Path) -> None:
    done = run(tmp_path, TASKFLOW_TEST_NO_SKIPS="1")

    assert done.returncode == 1
    assert "1 failed, 1 passed, 1 xfailed, 1 error" in done.stdout
    assert "everything must run here: Skipped: no such program here" in done.stdout
    assert "everything must run here: Skipped: no such program either" in done.stdout


def test_a_file_that_leaves_itself_out_is_a_failure_there_too(tmp_path: Path) -> None:
    (tmp_path / "test_whole.py").write_text("import pytest; pytest.importorskip('no_such_module')")

    done = run(tmp_path, TASKFLOW_TEST_NO_SKIPS="1")

    assert done.returncode != 0
    assert "everything must run here: Skipped: could not import 'no_such_module'" in done.stdout
