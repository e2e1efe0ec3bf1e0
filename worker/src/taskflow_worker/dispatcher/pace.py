"""How long a flow's window should be: about one second of what its workers take out of it."""

from collections import deque

from taskflow_core.queue.window import WINDOW_MAX

_WINDOW_S = 1.0  # how much of the drain the window should hold
_SHORT_S = 0.25  # a burst shows over this; over _LONG_S, the habit
_LONG_S = 1.0
_WITHOUT_WORKERS = 100


class Pace:
    """The window of one flow over the last second. Times are monotonic seconds.

    What leaves the window between two looks is seen; what the API pushes in the meantime hides as much of
    it, so the rate is a lower bound. It is enough: a window found drained is a target that doubles.
    """

    def __init__(self) -> None:
        self._found = self._length = 0
        self._looks: deque[tuple[float, int]] = (
            deque()
        )  # when, and how much had left since the one before

    def saw(self, length: int, now: float) -> None:
        """Take in how long the window is."""
        self._looks.append((now, max(0, self._length - length)))
        self._found = self._length = length
        while len(self._looks) > 2 and self._looks[1][0] <= now - _LONG_S:  # noqa: PLR2004 - a span
            self._looks.popleft()

    def filled(self, length: int) -> None:
        """Take in how long the window became by our own push."""
        self._length = length

    @property
    def length(self) -> int:
        """How long the window was last seen."""
        return self._length

    @property
    def looked_at(self) -> float:
        """When the window was last seen."""
        return self._looks[-1][0] if self._looks else float("-inf")

    def rate(self) -> float:
        """Return entries per second that left lately: the faster of the short and the long view."""
        return max(self._rate_over(_SHORT_S), self._rate_over(_LONG_S))

    def target(self, slots: int) -> int:
        """Return how long the window should be; `slots` of live workers, 0 if none are known."""
        least = 2 * slots if slots else _WITHOUT_WORKERS
        return min(WINDOW_MAX, max(least, round(self.rate() * _WINDOW_S)))

    def rest_s(self, target: int, longest_s: float) -> float:
        """Return for how long a window that was just filled, with more to come, can be left alone.

        Until a quarter of it has gone; not at all if it was found more than half empty.
        """
        if 2 * self._found < target:
            return 0.0
        rate = self.rate()
        return min(longest_s, self._length / (4 * rate)) if rate else longest_s

    def _rate_over(self, seconds: float) -> float:
        """Divide what left by the time in which it did, `seconds` at least, as the looks allow."""
        left, end = 0, self.looked_at
        for when, gone in reversed(self._looks):
            if when <= end - seconds:
                return left / (end - when)
            left += gone
        return left / seconds
