"""How a database is compared with the models."""

from sqlalchemy.dialects.postgresql.base import ischema_names

from taskflow_core.models.events import Xid8

ischema_names["xid8"] = Xid8


def include(name: str | None, kind: str, parents: object) -> bool:
    """Leave out the monthly partitions: they come and go at run time."""
    del parents
    return not (kind == "table" and name is not None and name.startswith("task_events_"))
