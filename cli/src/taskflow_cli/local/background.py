"""Going to the background once everything is ready."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_READY = b"1"


def detach(run: Callable[[Callable[[], None]], int], log: Path) -> int:
    """Run `run` in a child of a session of its own; return when it is ready, or its exit code.

    The child prints where we print until it calls what it was given: from then on it writes to `log`,
    and we return 0. Call it before there are threads.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.setsid()
        _leave(run, writing, log)
    os.close(writing)
    # Ctrl-C reaches us and not the child's session
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(child, signal.SIGTERM))
    with os.fdopen(reading, "rb") as pipe:
        if pipe.read(1) == _READY:
            return 0
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) or 1


def _leave(run: Callable[[Callable[[], None]], int], writing: int, log: Path) -> None:
    """Be the child: never returns."""

    def on_ready() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.write(writing, _READY)
        os.close(writing)

    code = 1
    try:
        code = run(on_ready)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
