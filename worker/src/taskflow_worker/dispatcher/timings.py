"""How often, and how long: in one place, so that tests can be quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """All in seconds."""

    lease_ttl_s: float = 10.0
    renew_s: float = 2.0
    follow_s: float = 1.0  # how often a follower asks whether the lease is free
    grace_s: float = 0.7  # for a round to end when this replica stops or no longer leads
    release_s: float = 0.3  # for giving the lease back; all in all it leaves within two seconds

    tick_s: float = 0.15  # longest rest of the top-up: what is due waits no longer for it
    sessions_s: float = 1.0
    expire_after_s: float = 15.0  # without a heartbeat
    contact_gap_s: float = 3.0  # without an answer of PostgreSQL: nobody is blamed for such time

    audit_s: float = 5.0
    overdue_s: float = 5.0  # published and not claimed for so long: worth a look
    confirm_s: float = 2.5  # until the second look at what is missing

    report_s: float = 1.0
    chores_s: float = 3600.0
    chore_again_s: float = 60.0  # after something stood in the way
    keep_sessions_s: float = 7 * 86_400.0

    first_pause_s: float = 0.25  # after a failed round; doubles with each
    longest_pause_s: float = 5.0
