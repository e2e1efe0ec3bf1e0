"""The worker's session: the lease of everything it runs.

When PostgreSQL cannot be reached for longer than the lease, running attempts go on. The dispatcher counts
only time in which it reached PostgreSQL itself, so a restart gives nothing away; if only this worker is
cut off, its attempts are given to others, the fence refuses what it writes later, and the first heartbeat
that gets through tells it to stop. Stopping by itself would turn each outage into lost work.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from taskflow_core.db.link import Link
from taskflow_core.queue import statements
from taskflow_core.settings import DatabaseSettings
from taskflow_worker.heart import Heart
from taskflow_worker.tempo import Tempo

_log = structlog.get_logger(__name__)


class Session:
    """Opens a session, has its heart beat, and opens another when the dispatcher has ended it.

    `on_over` is called at once when that is known: what ran under the old session belongs to others.
    """

    def __init__(
        self,
        link: Link,
        database: DatabaseSettings,
        *,
        flow: str,
        replica: str,
        tempo: Tempo,
        turned_at: Callable[[], float],
        on_over: Callable[[], None],
    ) -> None:
        self._link = link
        self._flow, self._replica = flow, replica
        self._on_over = on_over
        self._id: int | None = None
        self._opened = asyncio.Event()
        self._over = asyncio.Event()
        self._lease_s = tempo.lease_s
        self._is_unsure = False
        self.heart = Heart(database, tempo, on_over=self._ended, turned_at=turned_at)

    @property
    def id(self) -> int | None:
        """The present session; None while there is none."""
        return self._id

    async def opened(self) -> int:
        """Return the present session; wait for one if there is none."""
        while self._id is None:
            await self._opened.wait()
        return self._id

    async def keep_open(self) -> None:
        """Have a session, for ever."""
        while True:
            if self._id is None:
                await self._open()
            await self._over.wait()

    def doubt(self) -> None:
        """Say it once when the lease may have been lost because PostgreSQL cannot be reached."""
        unsure = self._id is not None and self.heart.age_s > self._lease_s
        if unsure and not self._is_unsure:
            _log.warning("worker.lease_unsure", session=self._id, age_s=round(self.heart.age_s, 1))
        self._is_unsure = unsure

    async def close(self, reason: str) -> None:
        """End the session, so that what it may still hold goes back at once."""
        await self.heart.stop()
        session, self._id = self._id, None
        self._opened.clear()
        if session is not None:
            await self._link.fetch(statements.END_SESSION, session, reason)
            _log.info("worker.session_closed", session=session, reason=reason)

    async def _open(self) -> None:
        asked = time.monotonic()
        # repeated after a lost answer it opens a second one; the first never beats and expires
        ((session,),) = await self._link.fetch(statements.OPEN_SESSION, self._flow, self._replica)
        self._id = int(session)
        self.heart.beat_for(self._id, asked)
        self._over.clear()
        self._opened.set()
        _log.info("worker.session_opened", session=self._id)

    def _ended(self, session: int) -> None:
        if session == self._id:
            _log.warning("worker.session_over", session=session)
            self._id = None
            self.heart.beat_for(None, time.monotonic())
            self._opened.clear()
            self._on_over()
            self._over.set()
