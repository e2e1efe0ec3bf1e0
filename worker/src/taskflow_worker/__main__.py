"""`python -m taskflow_worker`: one worker process.

Exit code 0: stopped as asked. 1: it could not start, or could not hand everything back. 2: settings or
handler packages are wrong.
"""

import asyncio
import gc
import logging
import os
import signal
import sys

import structlog
import uvloop
from prometheus_client import CollectorRegistry, ProcessCollector

from taskflow_core.process import BAD_SETTINGS, replica_name, settings_or_exit
from taskflow_core.settings import DatabaseSettings, LogSettings, RedisSettings, WorkerSettings
from taskflow_core.telemetry import logging as taskflow_logging
from taskflow_worker.discovery import HandlersBroken, load_handlers
from taskflow_worker.telemetry_server import serve_telemetry
from taskflow_worker.worker import Worker, worker

_log = structlog.get_logger(__name__)

_FAILED = 1


def main() -> int:
    """Run until a signal; return the exit code."""
    settings, database, redis, log = settings_or_exit(
        WorkerSettings, DatabaseSettings, RedisSettings, LogSettings
    )
    replica = replica_name(settings.replica)
    taskflow_logging.configure(log, component="worker", flow=settings.flow, replica=replica)
    # Taskiq logs each failed handler with a traceback; so do we, with the task it was
    logging.getLogger("taskiq.receiver").setLevel(logging.CRITICAL)
    try:
        load_handlers()
    except HandlersBroken as error:
        _log.error("worker.handlers_broken", reason=str(error))
        return BAD_SETTINGS
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings, database, redis))


async def _run(settings: WorkerSettings, database: DatabaseSettings, redis: RedisSettings) -> int:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    signals = _Signals()
    try:
        async with worker(settings, database, redis, registry=registry) as running:
            signals.worker = running
            async with serve_telemetry(
                settings.metrics_port,
                registry,
                lambda: running.is_alive,
                host=settings.metrics_host,
            ) as port:
                # what was loaded is here to stay: a full collection need not walk it each time
                gc.collect()
                gc.freeze()
                _log.info("worker.started", slots=settings.slots, metrics_port=port)
                await running.serve(signals.stop)
    except Exception:  # noqa: BLE001 - logged, and the exit code says so
        _log.exception("worker.failed")
        return _FAILED
    if running.books.ledger.ghosts:
        # handlers that do not stop would keep the interpreter from ending, too
        sys.stderr.flush()
        os._exit(_FAILED)
    return 0 if running.is_clean else _FAILED


class _Signals:
    """SIGTERM and SIGINT: the first stops with grace, the second at once."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.worker: Worker | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._heard)

    def _heard(self) -> None:
        if not self.stop.is_set():
            self.stop.set()
        elif self.worker is not None:
            self.worker.hurry()
        else:
            os._exit(_FAILED)  # still in a start-up hook, and asked twice


if __name__ == "__main__":
    sys.exit(main())
