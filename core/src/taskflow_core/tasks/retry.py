"""When a failed attempt is followed by another: exponential back-off with full jitter.

Full jitter is from Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
the pause is uniform between zero and the exponential bound, which spreads a herd better than any
smaller jitter.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_MAX_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon. Times in seconds."""

    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 300.0

    def bound_s(self, attempt: int) -> float:
        """Return the longest pause after failed attempt number `attempt` (the first is 1)."""
        try:
            return min(self.max_s, self.initial_s * self.factor ** (attempt - 1))
        except OverflowError:
            return self.max_s

    def pause_s(
        self, attempt: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Return a pause for after failed attempt number `attempt`, uniform up to its bound."""
        return uniform(0.0, self.bound_s(attempt))
