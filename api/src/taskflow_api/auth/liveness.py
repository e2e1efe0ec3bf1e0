"""Whether the session of a verified token still lives: asked of PostgreSQL, believed for two seconds.

A session that this process revokes is dead at once; one that another replica revokes, within two
seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from uuid import UUID

from taskflow_core.db.database import Database
from taskflow_core.models.users import Role

_BELIEVED_S = 2.0
_CACHED = 20_000

# live_role: the present role of a session's user, if both are in force. $1 session, $2 user
_LIVE_ROLE = """
select u.role from sessions s join users u on u.id = s.user_id
 where s.id = $1::uuid and u.id = $2::uuid and s.revoked_at is null and s.expires_at > now()
   and u.active and u.deleted_at is null
"""


class Liveness:
    """Knows the sessions that were in use lately."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database, self._clock = database, clock
        self._roles: OrderedDict[UUID, tuple[float, Role]] = OrderedDict()
        self._epoch = 0

    async def role_of(self, session_id: UUID, user_id: UUID) -> Role | None:
        """Return the present role of the session's user; None: the session is over."""
        known = self._roles.get(session_id)
        if known is not None and known[0] > self._clock():
            return known[1]
        epoch, asked = self._epoch, self._clock()
        rows = await self._database.fetch(_LIVE_ROLE, session_id, user_id)
        if not rows:
            self._roles.pop(session_id, None)
            return None
        role = Role(rows[0][0])
        # an answer from before a revocation must not outlive it
        if epoch == self._epoch:
            self._roles[session_id] = (asked + _BELIEVED_S, role)
            if len(self._roles) > _CACHED:
                self._roles.popitem(last=False)
        return role

    def forget(self) -> None:
        """Something was revoked or changed: ask again about everybody."""
        self._epoch += 1
        self._roles.clear()
