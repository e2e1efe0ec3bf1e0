"""Whether a growth brought what it promised; if not, more workers will not help either.

Behind many workers there is often one database or one partner. Once that is full, a worker more only
waits with the others. So each growth is watched for two windows: with tasks waiting all the time, the
added workers must have brought a fifth of what they would bring alone.
"""

from dataclasses import dataclass, replace

WINDOW_S = 30.0  # or twice the service time, if that is longer: ends must have had time to come
SHARE = 0.2  # of the predicted gain that is asked for
WINDOWS = 2
PAUSE_S = 300.0  # for how long a bottleneck is believed before growth is tried again


@dataclass(frozen=True, slots=True)
class Growth:
    """A growth under watch: as it was when `began`, and how many windows it has failed."""

    began: float
    working: int
    done_per_s: float
    busy_s: float
    failed: int = 0


def watched(
    growth: Growth, *, now: float, working: int, done_per_s: float, slots: int, start_s: float
) -> Growth | None:
    """Return the growth with what this moment shows of it; None once it has proved itself.

    The caller ends the watch when nothing waits any more. `failed == WINDOWS` is a bottleneck.
    """
    window_s = max(WINDOW_S, 2 * growth.busy_s)
    if now < growth.began + start_s + (growth.failed + 1) * window_s:
        return growth
    added = working - growth.working
    if added <= 0:
        return replace(growth, began=now, failed=0)  # none of them works yet: nothing is known
    predicted = added * slots / growth.busy_s
    if done_per_s - growth.done_per_s >= SHARE * predicted:
        return None
    return replace(growth, failed=growth.failed + 1)
