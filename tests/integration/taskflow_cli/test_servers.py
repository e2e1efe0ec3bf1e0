"""The embedded servers: in odd places, after crashes, and as any user."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis as SyncRedis

from taskflow_cli.local.processes import identify, wait_ended
from taskflow_cli.local.servers import EmbeddedPostgres, EmbeddedValkey, ServerFailedError

_AS_CHILD = """
import sys, pathlib
from taskflow_cli.local.servers import EmbeddedPostgres
server = EmbeddedPostgres(pathlib.Path(sys.argv[1])).start()
print(server.process.pid, flush=True); sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("place", ["with spaces, commas and ü", "long/" + "x" * 120 + "/path"])
def test_they_run_wherever_their_data_lies(folder: Path, place: str) -> None:
    (folder / place).mkdir(parents=True)
    with (
        EmbeddedPostgres(folder / place / "postgres") as postgres,
        EmbeddedValkey(folder / place / "valkey") as valkey,
    ):
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with SyncRedis.from_url(valkey.url) as redis:
            assert redis.ping()
        assert stat.S_IMODE(postgres.sockets.stat().st_mode) == 0o700
        assert stat.S_IMODE(valkey.socket.parent.stat().st_mode) == 0o700


def test_a_postmaster_that_a_killed_run_left_makes_room(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as first:
        first.psql("create table kept ()")
        assert first.process is not None
        left = identify(first.process.pid)
        assert left is not None
        with EmbeddedPostgres(folder / "data") as second:
            assert second.psql("select count(*) from kept") == "0"
            assert wait_ended(left, 0)


def test_a_pid_file_that_names_a_stranger_stops_nothing(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as first:
        first.kill()
    pid_file = folder / "data" / "postmaster.pid"
    owner = pwd.getpwuid((folder / "data").stat().st_uid)
    demoted = {"user": owner.pw_uid, "group": owner.pw_gid} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "600"], **demoted) as stranger:  # type: ignore[call-overload]
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))

        with EmbeddedPostgres(folder / "data") as second:
            assert second.psql("select 1") == "1"

        assert stranger.poll() is None
        stranger.kill()


def test_a_killed_initdb_is_begun_anew(folder: Path) -> None:
    (folder / "data.new").mkdir()
    (folder / "data.new" / "PG_VERSION").write_text("18\n")

    with EmbeddedPostgres(folder / "data") as server:
        assert server.psql("select 1") == "1"


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    with (
        pytest.raises(ServerFailedError, match="no_such_setting"),
        EmbeddedPostgres(folder / "data", settings={"no_such_setting": "1"}),
    ):
        pass


def test_the_server_ends_when_its_parent_is_killed(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _AS_CHILD, folder / "data"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        server = identify(int(parent.stdout.readline()))
        assert server is not None
        parent.send_signal(signal.SIGKILL)

    assert wait_ended(server, 10)
    assert not (folder / "data" / "postmaster.pid").exists(), "it shut down in order"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_root_postgresql_runs_as_somebody_else(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as server:
        assert server.process is not None
        running_as = Path(f"/proc/{server.process.pid}").stat().st_uid

    assert running_as != 0
    assert (folder / "data").stat().st_uid == running_as


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
def test_folders_that_were_opened_for_it_are_named(folder: Path) -> None:
    (folder / "closed").mkdir(mode=0o700)
    with EmbeddedPostgres(folder / "closed" / "data") as server:
        assert server.opened == [(folder / "closed").resolve()]
    with EmbeddedPostgres(folder / "closed" / "data") as again:
        assert again.opened == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_ordinary_user_everything_is_theirs(folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        # no other interpreter: this one may lie where only root can go
        code = 1
        try:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
            with EmbeddedPostgres(folder / "pg") as pg, EmbeddedValkey(folder / "valkey") as valkey:
                os.write(write, pg.psql("select current_user").encode())
                code = 0 if valkey.answers() else 2
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as output:
        assert output.read() == "postgres"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert {path.stat().st_uid for path in folder.iterdir()} == {nobody.pw_uid}
    shutil.rmtree(folder / "pg")
