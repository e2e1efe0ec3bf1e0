"""TaskFlow's workers. Handler authors need these four names, and `taskflow_worker.testing`."""

from taskflow_worker.broker import handler
from taskflow_worker.context import Context
from taskflow_worker.errors import Fatal, Retry

__all__ = ["Context", "Fatal", "Retry", "handler"]
