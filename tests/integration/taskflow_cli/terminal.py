"""`taskflow up` as somebody at a desk has it: a process whose output is read while it runs."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Session:
    """A running `taskflow up`, and all it has printed so far."""

    def __init__(self, process: subprocess.Popen[bytes], output: int) -> None:
        self.process, self._output = process, output
        self.raw = ""

    @property
    def text(self) -> str:
        """What was printed, without colours and movements."""
        return _CONTROL.sub("", self.raw)

    def read_until(self, words: str, *, within_s: float = 60.0) -> str:
        """Read on until `words` were printed; return everything so far."""
        deadline = time.monotonic() + within_s
        while words not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"{words!r} was not printed within {within_s} s:\n{self.text}"
            if select.select([self._output], [], [], left)[0] and not self._read():
                raise AssertionError(f"it ended without printing {words!r}:\n{self.text}")
        return self.text

    def ended(self, *, within_s: float = 30.0) -> int:
        """Wait for its end; return the exit code."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if select.select([self._output], [], [], 0.1)[0] and not self._read():
                break
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def hang_up(self, *, within_s: float = 30.0) -> int:
        """Close the terminal, as with a window or a lost connection; return the exit code."""
        os.close(self._output)
        self._output = -1
        self.process.send_signal(signal.SIGHUP)
        return self.process.wait(within_s)

    def close(self) -> None:
        """End it, whatever it does, and read no more."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self._output != -1:
            os.close(self._output)

    def processes(self) -> list[psutil.Process]:
        """Return it and everything that it started, directly or not."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def _read(self) -> bool:
        try:
            chunk = os.read(self._output, 65_536)
        except OSError:  # how a terminal says that nobody is at its other end
            return False
        self.raw += chunk.decode(errors="replace")
        return bool(chunk)


@contextmanager
def up(data: Path, *options: str, terminal: bool = False, port: int = 0) -> Iterator[Session]:
    """Run `taskflow up` for the length of the block."""
    command = [sys.executable, "-P", "-m", "taskflow_cli", "up", "--data", str(data)]
    command += ["--port", str(port), *options]
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "120", "TERM": "xterm"},
    )
    os.close(theirs)
    session = Session(process, ours)
    try:
        yield session
    finally:
        session.close()


def gone(processes: list[psutil.Process], *, within_s: float = 15.0) -> list[psutil.Process]:
    """Wait for the end of processes; return those that are still there."""
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
