"""TaskFlow's workers. Handler authors need these four names, and `taskflow_worker.testing`.

They are imported when they are asked for: the dispatcher shares this package and needs no Taskiq, which
takes most of a second to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskflow_worker.broker import handler
    from taskflow_worker.context import Context
    from taskflow_worker.errors import Fatal, Retry

__all__ = ["Context", "Fatal", "Retry", "handler"]

_HOMES = {"Context": "context", "Fatal": "errors", "Retry": "errors", "handler": "broker"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives there
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
