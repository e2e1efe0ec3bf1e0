"""The highest or lowest of what was seen lately, in a handful of entries however long the window."""

from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Highest:
    """The highest value of a window: the entries that may still become the highest, in order.

    A new value makes every lower or equal one before it irrelevant, so that values only fall along
    the entries; the first is the highest. With the numbers of workers that is a few entries for a
    window of hundreds of decisions.
    """

    entries: tuple[tuple[float, int], ...] = ()

    def see(self, at: float, value: int, window_s: float) -> Self:
        """Return the window moved on to `at` (seconds), with `value` in it."""
        kept = tuple(
            entry for entry in self.entries if entry[0] >= at - window_s and entry[1] > value
        )
        return type(self)((*kept, (at, value)))

    @property
    def value(self) -> int:
        """The highest value; raises IndexError before the first."""
        return self.entries[0][1]


@dataclass(frozen=True, slots=True)
class Lowest:
    """The lowest value of a window."""

    of_negatives: Highest = field(default_factory=Highest)

    def see(self, at: float, value: int, window_s: float) -> Self:
        """Return the window moved on to `at` (seconds), with `value` in it."""
        return type(self)(self.of_negatives.see(at, -value, window_s))

    @property
    def value(self) -> int:
        """The lowest value; raises IndexError before the first."""
        return -self.of_negatives.value
