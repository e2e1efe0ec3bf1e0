"""The names of TaskFlow's keys in Redis.

The braces are a hash tag: all keys of a flow live in one slot of a Redis Cluster, so that one script
may touch several of them. Every key has an expiry or a bound.
"""

from taskflow_core.tasks.states import Priority

FLOWS = "tf:flows"  # sorted set: flow → when it was last seen with work or workers, Unix seconds


def ready(flow: str) -> tuple[str, str, str]:
    """Return the lists of a flow's ready window, in the order in which they are popped."""
    return (
        f"tf:{{{flow}}}:ready:high",
        f"tf:{{{flow}}}:ready:medium",
        f"tf:{{{flow}}}:ready:low",
    )


def ready_of(flow: str, priority: Priority) -> str:
    """Return the list of one priority."""
    return ready(flow)[priority]


def arrivals(flow: str) -> str:
    """Hash: number of the 2 s bucket → tasks created in it."""
    return f"tf:{{{flow}}}:arrivals"


def workers(flow: str) -> str:
    """Hash: replica → its last heartbeat (`signals.WorkerBeat` as JSON)."""
    return f"tf:{{{flow}}}:workers"


def depth(flow: str) -> str:
    """JSON string: what waits and runs, as the dispatcher last saw it (`signals.FlowDepth`)."""
    return f"tf:{{{flow}}}:depth"
