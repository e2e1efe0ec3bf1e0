"""`python -m taskflow_worker.dispatcher`: one replica of the dispatcher, until SIGTERM or SIGINT."""

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from taskflow_core.process import replica_name, settings_or_exit, stop_signals
from taskflow_core.settings import (
    DatabaseSettings,
    DispatcherSettings,
    LogSettings,
    RedisSettings,
)
from taskflow_core.telemetry.logging import configure
from taskflow_worker.dispatcher.service import candidate
from taskflow_worker.dispatcher.timings import Timings
from taskflow_worker.telemetry_server import serve_telemetry

_log = structlog.get_logger(__name__)


async def run(
    database: DatabaseSettings, redis: RedisSettings, own: DispatcherSettings, timings: Timings
) -> None:
    """Stand for the lease, and lead while it is ours, until a signal."""
    registry = CollectorRegistry()
    replica = replica_name(own.replica)
    with stop_signals() as stop:
        async with (
            candidate(
                database, redis, replica=replica, registry=registry, timings=timings
            ) as election,
            serve_telemetry(
                own.metrics_port, registry, election.alive, host=own.metrics_host
            ) as port,
        ):
            _log.info("dispatcher.started", metrics_port=port)
            await election.run(stop)
    _log.info("dispatcher.stopped")


def main(timings: Timings = Timings()) -> None:  # noqa: B008 - frozen
    """Read the settings and run. Exit code 2: a setting is wrong."""
    database, redis, own, log = settings_or_exit(
        DatabaseSettings, RedisSettings, DispatcherSettings, LogSettings
    )
    configure(log, component="dispatcher", replica=replica_name(own.replica))
    uvloop.run(run(database, redis, own, timings))


if __name__ == "__main__":
    main()
