"""`python -m taskflow_api`: the API's process."""

import gc
import math
import signal
import socket
import time
from types import FrameType
from typing import override

import structlog
import uvicorn
from fastapi import FastAPI

from taskflow_api.app import create_app
from taskflow_api.protocol import BoundedProtocol
from taskflow_api.resources import Drain
from taskflow_api.settings import ApiSettings
from taskflow_core.settings import HttpSettings
from taskflow_core.telemetry import logging

_log = structlog.get_logger("taskflow_api")


class _Server(uvicorn.Server):
    """Uvicorn that says on `/readyz` that it is leaving, a moment before it stops listening.

    Load balancers and Kubernetes' endpoints learn of it late, and send requests until they do.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, notice_s: float) -> None:
        super().__init__(config)
        self._drain, self._notice_s = drain, notice_s
        self._leave_at = math.inf

    @override
    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal ends the process at once."""
        if self._drain.begun:
            self.should_exit = self.force_exit = True
            return
        self._drain.begun = True
        self._leave_at = time.monotonic() + self._notice_s
        _log.info("api.draining", signal=signal.Signals(sig).name)

    @override
    async def on_tick(self, counter: int) -> bool:
        """Tell, ten times a second, whether to stop listening."""
        return await super().on_tick(counter) or time.monotonic() >= self._leave_at

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        # what was loaded by now lives as long as the process: a full collection need not look at it,
        # which takes tens of milliseconds out of the slowest answers
        gc.collect()
        gc.freeze()
        await super().startup(sockets)
        for server in getattr(self, "servers", ()):  # none if the application did not start
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                _log.info("api.listening", url=f"http://{host}:{port}")


def main() -> None:
    """Serve until SIGTERM or SIGINT; then answer what is open and leave."""
    settings = ApiSettings.from_environment()
    logging.configure(settings.log, component="api")
    drain = Drain()
    config = _configured(settings.http, create_app(settings, drain))
    _Server(config, drain, settings.http.drain_notice_s).run()


def _configured(http: HttpSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=http.host,
        port=http.port,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # we read X-Forwarded-For ourselves, from trusted proxies only
        timeout_graceful_shutdown=math.ceil(http.drain_s),
        backlog=2048,
    )


if __name__ == "__main__":
    main()
