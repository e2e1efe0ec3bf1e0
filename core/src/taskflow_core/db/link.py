"""A connection that comes back: for loops that must outlive any restart of PostgreSQL."""

import asyncio
import time
from collections.abc import Callable, Coroutine

import psycopg
import structlog
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.pq import TransactionStatus

from taskflow_core.db.database import FINAL_ERRORS, Row
from taskflow_core.settings import DatabaseSettings

__all__ = ["FINAL_ERRORS", "Link", "array"]

_log = structlog.get_logger(__name__)

_RETRY_PAUSE_S = 0.25
_ONCE_WITHIN_S = 30.0
_CUT_OFF_S = 0.1


class Link:
    """One connection to PostgreSQL, opened at the first statement and again whenever it was lost."""

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

        Only for statements that may be repeated, and as well be done after an outage of an hour: fenced
        updates, reads, and claims followed by adoption. `lost` is called each time an answer was
        lost: the statement may or may not have been done. Raises what the statement itself did wrong:
        one of `FINAL_ERRORS`, or `ValueError` for a parameter that cannot be sent.
        """
        async with self._lock:
            while True:
                sent = False
                try:
                    connection = self._connection or await self._connect()
                    sent = True
                    return await _interruptible(self._ask(connection, sql, parameters))
                except asyncio.CancelledError:
                    # the connection may be in the middle of an answer
                    await self._drop()
                    raise
                # After a killed backend a driver raises more than its connection errors, so the
                # question is turned round: what is not final is tried again.
                except Exception as error:
                    if self._is_final(error):
                        raise
                    self._note_loss(error)
                    await self._drop()
                    if sent and lost is not None:
                        lost()
                    await asyncio.sleep(_RETRY_PAUSE_S)

    async def fetch_once(
        self, sql: str, *parameters: object, within_s: float = _ONCE_WITHIN_S
    ) -> list[Row]:
        """Run one statement now or not at all, and return its rows.

        For what would be wrong later: a leader that waits for PostgreSQL to come back is none any more.
        Raises as `fetch` does, and when PostgreSQL is away `psycopg.Error`, `OSError` or, after
        `within_s` seconds, `TimeoutError`: then the statement may or may not have been done.
        """
        async with asyncio.timeout(within_s), self._lock:
            return await _interruptible(self._try(sql, parameters))

    async def close(self) -> None:
        """Close the connection; the next `fetch` would open another."""
        await self._drop()

    async def _try(self, sql: str, parameters: tuple[object, ...]) -> list[Row]:
        try:
            return await self._ask(self._connection or await self._connect(), sql, parameters)
        except BaseException as error:
            if not self._is_final(error):
                await self._drop()
            raise

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

    def _is_final(self, error: BaseException) -> bool:
        """Tell whether the statement was wrong, and not the connection."""
        if isinstance(error, FINAL_ERRORS):
            return True
        if isinstance(error, (psycopg.Error, OSError, asyncio.CancelledError)):
            return False
        # a parameter that cannot be encoded (a lone surrogate, say) raises before anything is sent
        connection = self._connection
        return (
            connection is not None
            and not connection.closed
            and connection.info.transaction_status is TransactionStatus.IDLE
        )

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


async def _interruptible(ask: Coroutine[None, None, list[Row]]) -> list[Row]:
    """Wait for psycopg; when cancelled, end it in no time."""
    asking = asyncio.create_task(ask)
    try:
        await asyncio.wait({asking})
    except asyncio.CancelledError:
        await _cut_off(asking)
        raise
    return asking.result()


async def _cut_off(asking: "asyncio.Task[list[Row]]") -> None:
    """Cancel twice: once, psycopg asks the server to stop, and waits for that for 5 s if it is silent."""
    for _ in range(2):
        asking.cancel()
        await asyncio.wait({asking}, timeout=_CUT_OFF_S)
    if asking.done() and not asking.cancelled():
        asking.exception()  # of no interest any more


def array(values: "list[str] | tuple[str, ...]") -> str:
    """Return a PostgreSQL array literal of values without quotes, commas, braces or backslashes.

    One string instead of many objects to adapt: cast it in the statement, `$1::text::uuid[]`.
    """
    return "{" + ",".join(values) + "}"
