"""How many tasks arrive in a second, from counts in short buckets: steady under noise and bursts.

The rate is the median of six equal slices of a window. A burst falls into one or two slices and does
not move it, so that it counts once, as backlog; a mean would count it a second time, as arrivals that
go on for as long as the window looks back.
"""

import statistics
from collections.abc import Mapping

SLICES = 6
SHORTEST_S = 12.0  # six slices of one bucket
FIRST_S = 60.0  # the longest that the first window may be
LONGER_S = (120.0, 300.0, 600.0)  # tried in turn while a window holds too few arrivals
ENOUGH = 100  # arrivals, for a standard error of 10 %
FEW = 6  # up to which a median of 0 says nothing


def arrivals_per_s(
    buckets: Mapping[int, int], now: float, *, drain_s: float, since: float, bucket_s: float = 2.0
) -> float:
    """Return the arrivals per second.

    `buckets` is number of the bucket (Unix time // `bucket_s`) → arrivals; the one that `now` falls
    into is not over and does not count. The window is `drain_s` long, within 12 to 60 s, or as long
    as it takes to hold 100 arrivals. `since`: when the flow came into being; before, nothing could
    arrive.
    """
    last = int(now // bucket_s) - 1
    window_s = _window(buckets, last, drain_s, now - since, bucket_s)
    width = max(1, int(window_s / SLICES / bucket_s))  # buckets in one slice
    slices = [_count(buckets, last - nth * width, width) for nth in range(SLICES)]
    median = statistics.median(slices)
    arrived = _count(buckets, last, int(window_s / bucket_s))
    if median == 0 and arrived <= FEW:
        return arrived / window_s
    return median / (width * bucket_s)


def _window(
    buckets: Mapping[int, int], last: int, drain_s: float, age_s: float, bucket_s: float
) -> float:
    first = max(SHORTEST_S, min(FIRST_S, drain_s))
    candidates = [first, *(longer for longer in LONGER_S if longer > first)]
    enough = (one for one in candidates if _count(buckets, last, int(one / bucket_s)) >= ENOUGH)
    window_s = next(enough, candidates[-1])
    lived_s = age_s // SHORTEST_S * SHORTEST_S
    return max(SHORTEST_S, min(window_s, lived_s))


def _count(buckets: Mapping[int, int], last: int, width: int) -> int:
    return sum(buckets.get(number, 0) for number in range(last - width + 1, last + 1))
