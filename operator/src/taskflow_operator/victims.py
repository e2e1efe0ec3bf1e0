"""Which workers go first when a flow shrinks, and which must not go at all.

Whoever is to go is first told to take no more work, and removed once he has none: how long a task
will still take nobody knows, so none is cut short, whatever the grace period is.

A ReplicaSet removes the Pods with the lowest `controller.kubernetes.io/pod-deletion-cost` first; which
of several equal ones is chance. So everyone gets a cost: whoever has nothing to lose the lowest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_IDLE = 100
_BUSY = 1_000
_TAKES_WORK = 200_000  # of two that are busy the one that drains is done sooner
_LONGEST_S = 86_400  # a day: older work is not dearer


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker; `busy` tasks, the oldest of which it has run for `oldest_running_s`."""

    name: str
    ready: bool = True
    draining: bool = False
    busy: int = 0
    oldest_running_s: float = 0.0


def deletion_cost(worker: Worker) -> int:
    """Return the cost of removing a worker: not ready, idle, draining, busy; then by age of its work."""
    if not worker.ready:
        return 0
    if not worker.busy:
        return _IDLE if worker.draining else _IDLE + 1
    age = int(min(worker.oldest_running_s, _LONGEST_S))
    return _BUSY + age + (0 if worker.draining else _TAKES_WORK)


def first_to_go(workers: Iterable[Worker]) -> list[str]:
    """Return the names in the order in which a ReplicaSet removes them."""
    order = sorted(workers, key=lambda worker: (deletion_cost(worker), worker.name))
    return [worker.name for worker in order]
