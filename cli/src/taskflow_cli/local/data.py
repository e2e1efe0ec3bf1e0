"""The data directory: what lies where, and who may use it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taskflow_cli.errors import BadInputError, CommandError

DEFAULT = Path(".taskflow")
_LOG_BYTES = 5 << 20  # a log larger than this is put aside at start
_LOGS_KEPT = 2


class InUseError(Exception):
    """Another `taskflow up` has the directory."""


@dataclass(frozen=True)
class DataDirectory:
    """Paths under the `--data` directory."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> "DataDirectory":
        """Name a directory, whether it is there or not."""
        return cls(root.absolute())

    @property
    def state(self) -> Path:
        """What runs, as JSON (`taskflow_cli.local.state`)."""
        return self.root / "state.json"

    @property
    def logs(self) -> Path:
        """One log per part."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """The keys that sign tokens."""
        return self.root / "jwt-keys"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's directory; it keeps nothing there."""
        return self.root / "valkey"

    def log(self, part: str) -> Path:
        """Return the log of a part."""
        return self.logs / f"{part}.log"

    def create(self) -> None:
        """Make the directory. Raises `BadInputError` if that cannot be done."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")
        except OSError as error:
            raise BadInputError(
                f"The data directory {self.root} cannot be used ({error.strerror});"
                " name another with --data."
            ) from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for this process; the kernel gives it back however we end.

        Raises `InUseError` when another process holds it.
        """
        path = self.root / "lock"
        lock = self._lock(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(lock)

    def _lock(self, path: Path) -> int:
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(lock, path):
                    return lock
                # whoever held it took the file away in between: this lock is nobody's any more
                os.close(lock)
            except BlockingIOError:
                os.close(lock)
                raise InUseError from None
            except OSError as error:
                os.close(lock)
                raise CommandError(
                    f"{self.root} cannot be locked ({error.strerror}); put the data on a local disk"
                    " with --data."
                ) from None

    def rotate(self, part: str) -> None:
        """Put a large log aside before its part writes to it again."""
        log = self.log(part)
        if not log.exists() or log.stat().st_size < _LOG_BYTES:
            return
        for number in range(_LOGS_KEPT, 0, -1):
            older = log.with_suffix(f".log.{number - 1}") if number > 1 else log
            if older.exists():
                older.replace(log.with_suffix(f".log.{number}"))


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
