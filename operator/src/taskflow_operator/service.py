"""How long a task keeps a slot, from what the workers of a flow say."""

from collections.abc import Iterable
from typing import NamedTuple

_SETTLED = 50  # ended tasks over which a worker's own mean forgets


class Said(NamedTuple):
    """What one worker says of its tasks."""

    mean_s: float | None  # of those that ended; None before the first
    ended: int
    running_s: float = 0.0  # for how long those that run have run, all together


class Service(NamedTuple):
    """The mean time of the flow's tasks, over `samples` ended ones; None and 0 if unknown."""

    mean_s: float | None = None
    samples: int = 0


def service_time(workers: Iterable[Said], before: Service) -> Service:
    """Return the mean over all workers, each weighted by what its own mean stands on.

    The tasks that run count for the time that they have run so far, as in the maximum likelihood
    estimate of an exponential time from censored observations: the short tasks end first, and a mean
    of the ended alone would call a young flow of long tasks quick. `before` is the last that was
    known: a flow at zero has nobody to ask, and has not forgotten.
    """
    said = list(workers)
    known = [(one.mean_s, min(one.ended, _SETTLED)) for one in said if one.mean_s is not None]
    weight = sum(counted for _, counted in known)
    if not weight:
        return before
    mean_s = sum(mean * counted for mean, counted in known) / weight
    ended = sum(one.ended for one in said)
    return Service(mean_s + sum(one.running_s for one in said) / ended, ended)
