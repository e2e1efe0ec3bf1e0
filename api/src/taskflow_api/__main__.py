"""`python -m taskflow_api`: the API's process."""

import signal
from types import FrameType

import structlog
import uvicorn

from taskflow_api.app import create_app
from taskflow_api.resources import Drain
from taskflow_api.settings import ApiSettings
from taskflow_core.telemetry import logging

_log = structlog.get_logger("taskflow_api")


class _Server(uvicorn.Server):
    """Uvicorn that first says, on `/readyz`, that it is leaving."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal ends the process at once."""
        self._drain.begun = True
        _log.info("api.draining", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list | None = None) -> None:  # type: ignore[type-arg]
        """Listen, and say where."""
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                _log.info("api.listening", url=f"http://{host}:{port}")


def main() -> None:
    """Serve until SIGTERM or SIGINT; then answer what is open and leave."""
    settings = ApiSettings.from_environment()
    logging.configure(settings.log, component="api")
    drain = Drain()
    config = uvicorn.Config(
        create_app(settings, drain),
        host=settings.http.host,
        port=settings.http.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,  # we read X-Forwarded-For ourselves, from trusted proxies only
        timeout_graceful_shutdown=int(settings.http.drain_s),
        backlog=2048,
    )
    _Server(config, drain).run()


if __name__ == "__main__":
    main()
