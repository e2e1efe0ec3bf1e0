"""How often and how long: every pace of a worker in one value, so that a test may set it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tempo:
    """Times in seconds.

    `lease_s` is the dispatcher's: it ends a session whose heartbeat is older. Three heartbeats fit in,
    so that two may be lost.
    """

    beat_every_s: float = 5.0
    lease_s: float = 15.0
    look_every_s: float = 1.0  # for requests to cancel, while something runs for longer than that
    cancel_grace_s: float = 5.0  # from a request to cancel to asyncio's cancellation
    stop_grace_s: float = 3.0  # from asyncio's cancellation to giving a handler up, when stopping
    pop_wait_s: float = 1.0  # an idle worker notices within this that it should stop
    progress_every_s: float = 1.0
    linger_s: float = 0.001  # completions are gathered for this long while more are on their way
    flush_s: float = 10.0  # longest wait for PostgreSQL when stopping
    blocked_loop_s: float = 300.0  # an event loop that stood still for so long is not coming back
