"""The data directory: private, locked, with logs that stay small."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from taskflow_cli.errors import BadInputError
from taskflow_cli.local.data import DataDirectory, InUseError, write_private


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory.at(tmp_path / "data")
    directory.create()
    return directory


def test_it_is_made_for_its_owner_only_and_kept_out_of_git(data: DataDirectory) -> None:
    assert stat.S_IMODE(data.root.stat().st_mode) == 0o700
    assert (data.root / ".gitignore").read_text() == "*\n"


def test_making_it_again_changes_nothing(data: DataDirectory) -> None:
    (data.root / ".gitignore").write_text("mine\n")

    data.create()

    assert (data.root / ".gitignore").read_text() == "mine\n"


def test_a_file_in_its_place_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(BadInputError, match="--data"):
        DataDirectory.at(tmp_path / "data" / "deeper").create()


def test_only_one_process_holds_it(data: DataDirectory) -> None:
    hold = (
        "import sys; from pathlib import Path; from taskflow_cli.local.data import DataDirectory\n"
        "with DataDirectory.at(Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, data.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InUseError), data.locked():
            pass
        holder.kill()
        holder.wait()

    with data.locked():  # the kernel gave it back
        pass
    assert not (data.root / "lock").exists()


def test_a_private_file_is_never_readable_by_others_nor_half_written(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    (tmp_path / "secret.new").write_text("left by a killed run")

    write_private(file, "one")
    write_private(file, "two")

    assert file.read_text() == "two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_large_logs_are_put_aside_and_two_are_kept(data: DataDirectory) -> None:
    log = data.log("api")
    for number in range(4):
        with log.open("w") as file:
            file.write(f"run {number}\n")
            file.truncate(6 << 20)
        data.rotate("api")

    kept = {path.name: path.read_text().partition("\n")[0] for path in data.logs.iterdir()}

    assert kept == {"api.log.1": "run 3", "api.log.2": "run 2"}


def test_a_small_log_goes_on(data: DataDirectory) -> None:
    data.log("api").write_text("short\n")

    data.rotate("api")

    assert data.log("api").read_text() == "short\n"
