"""structlog: one line per fact, JSON for machines, colours for a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from taskflow_core.settings import LogSettings

# what must never be readable in a log, whoever wrote the line
_SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "payload", "api_key")
_HIDDEN = "[hidden]"


def configure(settings: LogSettings, **bound: str) -> None:
    """Set up logging for this process; `bound` (component, replica, …) stands in every line."""
    console = settings.format == "console" or (settings.format is None and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    # structlog's own choice would print the local variables of each frame: payloads, passwords
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _route_stdlib(shared, render, level)
    structlog.contextvars.bind_contextvars(**bound)


def hide_secrets(
    _logger: Any,  # noqa: ANN401 - structlog's signature
    _method: str,
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Blank the values of keys that sound like secrets."""
    for key in event:
        if any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = _HIDDEN
    return event


def _route_stdlib(
    shared: list[structlog.typing.Processor], render: list[structlog.typing.Processor], level: int
) -> None:
    """Let libraries that use `logging` speak the same way."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
