"""A connection that comes back: for loops that must outlive any restart of PostgreSQL."""

import asyncio
import time
from collections.abc import Callable

import psycopg
import structlog
from psycopg import AsyncConnection, AsyncRawCursor

from taskflow_core.db.database import Row
from taskflow_core.settings import DatabaseSettings

_log = structlog.get_logger(__name__)

# After a killed backend a driver raises more than its connection errors, so the question is turned
# round: what the statement itself did wrong is final, everything else is tried again.
FINAL_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
    # class 54, "program limit exceeded": psycopg files these under OperationalError, but JSON that is
    # nested too deeply today is nested too deeply for ever
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)
_RETRY_PAUSE_S = 0.25


class Link:
    """One connection to PostgreSQL whose `fetch` repeats the statement until it was answered.

    Only for statements that may be repeated: fenced updates, reads, and claims followed by adoption.
    """

    def __init__(self, settings: DatabaseSettings, *, application_name: str) -> None:
        self._conninfo = settings.url.get_secret_value()
        self._application_name = application_name
        self._connection: AsyncConnection[Row] | None = None
        self._lock = asyncio.Lock()
        self._lost_at: float | None = None

    async def fetch(
        self, sql: str, *parameters: object, lost: Callable[[], None] | None = None
    ) -> list[Row]:
        """Run one statement with `$1` placeholders and return its rows, however long that takes.

        `lost` is called each time an answer was lost: the statement may or may not have been done.
        Raises one of `FINAL_ERRORS`: what the statement itself did wrong.
        """
        async with self._lock:
            while True:
                sent = False
                try:
                    connection = self._connection or await self._connect()
                    sent = True
                    return await self._ask(connection, sql, parameters)
                except FINAL_ERRORS:
                    raise
                except asyncio.CancelledError:
                    # the connection may be in the middle of an answer
                    await self._drop()
                    raise
                except Exception as error:  # noqa: BLE001 - see FINAL_ERRORS
                    self._note_loss(error)
                    await self._drop()
                    if sent and lost is not None:
                        lost()
                    await asyncio.sleep(_RETRY_PAUSE_S)

    async def close(self) -> None:
        """Close the connection; the next `fetch` would open another."""
        await self._drop()

    async def _ask(
        self, connection: AsyncConnection[Row], sql: str, parameters: tuple[object, ...]
    ) -> list[Row]:
        cursor = AsyncRawCursor(connection)
        await cursor.execute(sql, parameters, binary=True)
        rows = await cursor.fetchall() if cursor.description else []
        if self._lost_at is not None:
            _log.info("database.back", after_s=round(time.monotonic() - self._lost_at, 3))
            self._lost_at = None
        return rows

    def _note_loss(self, error: Exception) -> None:
        """Log the first loss only: an outage of a minute is one fact, not 240."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            _log.warning("database.lost", error=type(error).__name__)

    async def _connect(self) -> AsyncConnection[Row]:
        self._connection = await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=0,
            application_name=self._application_name,
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=10_000,
            # each statement has one good plan, whatever its arrays hold
            options="-c plan_cache_mode=force_generic_plan",
        )
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def array(values: "list[str] | tuple[str, ...]") -> str:
    """Return a PostgreSQL array literal of values without quotes, commas, braces or backslashes.

    One string instead of many objects to adapt: cast it in the statement, `$1::text::uuid[]`.
    """
    return "{" + ",".join(values) + "}"
