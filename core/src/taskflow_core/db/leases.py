"""Leadership by a row with an expiry, on PostgreSQL's clock.

A row and not an advisory lock: a frozen or cut-off leader keeps an advisory lock for as long as its
connection seems alive, but a lease runs out. `term` grows with each new holder.
"""

import time
from collections.abc import Callable

from taskflow_core.db.link import Link

# acquire: take a free or expired lease, or renew my own; no row: somebody else holds it
_ACQUIRE = """
insert into leases as l (name, holder, term, expires_at)
values ($1::text, $2::text, 1, now() + make_interval(secs => $3::float8))
on conflict (name) do update
   set holder = excluded.holder,
       term = l.term + case when l.holder = excluded.holder then 0 else 1 end,
       expires_at = excluded.expires_at
 where l.holder = excluded.holder or l.expires_at < now()
returning term
"""
# release: let another take over at once
_RELEASE = "update leases set expires_at = now() where name = $1::text and holder = $2::text"


class LeaseLost(Exception):
    """The lease is not surely ours any more: what was about to be written must not be."""


class LeaseHolder:
    """One candidate for a named lease; the names of `holder`s must differ.

    `ttl_s` is counted here from *before* the renewal was sent, by the monotonic clock, so that the
    holder stops believing in its lease no later than the database does.
    """

    def __init__(
        self,
        link: Link,
        name: str,
        holder: str,
        *,
        ttl_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._link, self._name, self._holder = link, name, holder
        self._ttl_s, self._clock = ttl_s, clock
        self._until = float("-inf")
        self._asked = False
        self.term: int | None = None

    @property
    def leads(self) -> bool:
        """Whether the lease is surely still ours."""
        return self._clock() < self._until

    def require(self) -> None:
        """Pass while the lease is surely ours. Raises `LeaseLost`."""
        if not self.leads:
            raise LeaseLost(f"{self._holder} does not hold the lease {self._name}")

    async def acquire(self) -> bool:
        """Take or renew the lease; tell whether it is ours now.

        Raises as `Link.fetch_once`: then it stays ours until it runs out, if it was.
        """
        asked, self._asked = self._clock(), True
        rows = await self._link.fetch_once(
            _ACQUIRE, self._name, self._holder, self._ttl_s, within_s=self._ttl_s / 2
        )
        if rows:
            self.term, self._until = rows[0][0], asked + self._ttl_s
        else:
            self.term, self._until = None, float("-inf")
        return self.leads

    async def release(self, *, within_s: float = 1.0) -> None:
        """Give the lease back, if it is ours. Raises as `Link.fetch_once`.

        Also when we do not know of it: the answer to the last `acquire` may have been lost.
        """
        self.term, self._until = None, float("-inf")
        if self._asked:
            await self._link.fetch_once(_RELEASE, self._name, self._holder, within_s=within_s)
            self._asked = False
