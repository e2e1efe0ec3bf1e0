"""`python -m taskflow_cli.bench.worker`: the worker as it is, with two handlers to measure it by."""

import sys
import time

from taskflow_worker import handler
from taskflow_worker.__main__ import main

NOOP = "bench.noop"
CLOCK = "bench.clock"


@handler(NOOP)
async def noop(payload: dict[str, str]) -> None:
    """Do nothing with a typed payload."""


@handler(CLOCK)
async def clock() -> float:
    """Return when the handler's first line ran, Unix seconds."""
    return time.time()


if __name__ == "__main__":
    sys.exit(main())
