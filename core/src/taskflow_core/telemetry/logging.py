"""structlog: one line per fact, JSON for machines, colours for a terminal."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from taskflow_core.settings import LogSettings

# what must never be readable in a log, whoever wrote the line
_SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "payload", "api_key")
# the user part of a URL, and what follows "Bearer"
_SECRET_TEXT = re.compile(r"(?<=://)[^/\s]*(?=@)|(?<=bearer )\S+", re.IGNORECASE)
_HIDDEN = "[hidden]"
_MAX_DEPTH = 8
# structlog's own; they are no text yet
_NOT_TEXT = ("exc_info", "_record", "_from_structlog")


def configure(settings: LogSettings, **bound: str) -> None:
    """Set up logging for this process; `bound` (component, replica, …) stands in every line."""
    console = settings.format == "console" or (settings.format is None and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _console() if console else _json()
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
    """Blank the values of keys that sound like secrets, at any depth, and credentials in any text."""
    for key, value in event.items():
        if key not in _NOT_TEXT:
            event[key] = _HIDDEN if _sounds_secret(key) else _without_secrets(value)
    return event


def _sounds_secret(key: object) -> bool:
    return any(word in str(key).lower() for word in _SECRET_WORDS)


def _without_secrets(value: object, depth: int = 1) -> object:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(_HIDDEN, value)
    if depth > _MAX_DEPTH and isinstance(value, (Mapping, list, tuple)):
        return "[too deep]"
    if isinstance(value, Mapping):
        return {
            key: _HIDDEN if _sounds_secret(key) else _without_secrets(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_secrets(inner, depth + 1) for inner in value]
    return value


# structlog's own choice of tracebacks would print the local variables of each frame: payloads, passwords


def _json() -> list[structlog.typing.Processor]:
    return [
        structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
        hide_secrets,  # after the exceptions, whose texts quote URLs
        structlog.processors.JSONRenderer(),
    ]


def _console() -> list[structlog.typing.Processor]:
    return [
        hide_secrets,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]


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
