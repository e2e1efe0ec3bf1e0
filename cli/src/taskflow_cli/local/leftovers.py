"""What a killed run left behind, ended before the next one starts."""

import signal
import time

from taskflow_cli.local import state
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.processes import runs, send, wait_ended

_GRACE_S = 5.0  # for all of them together


def end_leftovers(data: DataDirectory) -> list[str]:
    """End the recorded parts that still run; return their names. The caller holds the directory.

    On Linux they end with their supervisor; one that is busy or frozen may take its time.
    """
    left = state.read(data.state)
    if left is None:
        return []
    alive = [part for part in left.parts if runs(part.process)]
    for part in alive:
        send(part.process, signal.Signals(part.stop_signal))
    deadline = time.monotonic() + _GRACE_S
    for part in alive:
        if not wait_ended(part.process, max(0.0, deadline - time.monotonic())):
            send(part.process, signal.SIGKILL)
            wait_ended(part.process, _GRACE_S)
    data.state.unlink(missing_ok=True)
    return [part.name for part in alive]
