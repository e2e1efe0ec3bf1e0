"""Where the embedded servers listen."""

import os
import stat
from pathlib import Path

import pytest

from taskflow_cli.local.sockets import UnsafeFolderError, make, socket_folder

LONGEST = 107  # bytes of a Unix socket's path on Linux


def test_they_lie_beside_the_data() -> None:
    assert socket_folder(Path("/srv/taskflow/postgres")) == Path("/srv/taskflow/postgres-run")


@pytest.mark.parametrize("part", ["x" * 120, "ü" * 60])
def test_a_long_path_gets_a_short_one_of_its_own(part: str) -> None:
    folder, other = (socket_folder(Path("/srv") / part / name) for name in ("a", "b"))

    assert len(os.fsencode(folder / ".s.PGSQL.5432.lock")) <= LONGEST
    assert folder != other
    assert folder == socket_folder(Path("/srv") / part / "a")


def test_every_length_of_path_fits() -> None:
    for length in range(1, 130):
        folder = socket_folder(Path("/") / ("x" * length))
        assert len(os.fsencode(folder / ".s.PGSQL.5432.lock")) <= LONGEST


def test_only_the_owner_can_enter(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o777)

    make(tmp_path / "run", None)

    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700


def test_a_link_that_somebody_laid_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeFolderError, match="remove it"):
        make(tmp_path / "run", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of others")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 12_345, 12_345)

    with pytest.raises(UnsafeFolderError, match="belongs to somebody else"):
        make(tmp_path / "run", None)
