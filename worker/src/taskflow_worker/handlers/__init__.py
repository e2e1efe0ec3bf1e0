"""The handlers every worker has."""

from taskflow_worker.handlers import http, trials

__all__ = ["http", "trials"]
