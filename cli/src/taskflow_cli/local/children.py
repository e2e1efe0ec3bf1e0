"""Child processes that end with us, whatever ends us."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
# looked up now: between fork and exec nothing may be imported or loaded
_prctl: Callable[..., int] | None = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program that writes to `log` and gets `death_signal` when this process ends.

    Call it in the main thread: Linux sends the signal when the *thread* that started the child ends.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # it ended before we asked
                os._exit(1)

    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own command lines
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            process_group=0,  # Ctrl-C goes to us, and we stop it when its clients are gone
            preexec_fn=prepare,  # noqa: PLW1509 - two system calls, nothing that locks
            **as_user(user),
        )


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that make a child run as `user` and in no other group."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
