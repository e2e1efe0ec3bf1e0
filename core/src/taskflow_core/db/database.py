"""One pool of psycopg connections per process, for hot statements and for SQLModel sessions alike.

Hot paths take a connection in autocommit mode and run one prepared statement. Everything else uses an
`AsyncSession`, which borrows from the same pool, so a process never holds more connections than the
pool has and nobody who holds one waits for a second.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel.ext.asyncio.session import AsyncSession

from taskflow_core.errors import Unavailable
from taskflow_core.settings import DatabaseSettings

type Row = tuple[Any, ...]

_CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError)


def is_connection_error(error: BaseException) -> bool:
    """Tell whether `error` speaks of PostgreSQL being away, not of the statement."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return isinstance(error, (PoolTimeout, TooManyRequests, *_CONNECTION_LOST))


class Database:
    """Connections to PostgreSQL. Make it with `open()`, once per process."""

    def __init__(self, settings: DatabaseSettings, *, application_name: str) -> None:
        self._pool = AsyncConnectionPool(
            settings.url.get_secret_value(),
            kwargs={
                "application_name": application_name,
                "autocommit": True,
                "connect_timeout": 2,
                "prepare_threshold": 0,
                # a dead peer is noticed in seconds, not in the kernel's two hours
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
                "options": f"-c statement_timeout={int(settings.statement_timeout_s * 1000)}"
                " -c idle_in_transaction_session_timeout=10000",
            },
            min_size=settings.pool_size,
            max_size=settings.pool_size,
            timeout=settings.pool_timeout_s,
            max_lifetime=1800,
            reconnect_timeout=5,
            open=False,
            reset=_autocommit,
            close_returns=True,
        )
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._borrow,
            poolclass=NullPool,
            # else each borrowed connection is asked for hstore's type number
            use_native_hstore=False,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: DatabaseSettings, *, application_name: str
    ) -> AsyncIterator["Database"]:
        """Connect in the background: PostgreSQL may be away when a process starts."""
        database = cls(settings, application_name=application_name)
        await database._pool.open(wait=False)
        try:
            yield database
        finally:
            await database.engine.dispose()
            await database._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        """Lend a connection in autocommit mode.

        Raises `Unavailable` when none is free in time or PostgreSQL is away.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, TooManyRequests, *_CONNECTION_LOST) as error:
            raise Unavailable("The database cannot be reached. Try again shortly.") from error

    async def fetch(self, sql: str, *parameters: object) -> list[Row]:
        """Run one statement with `$1` placeholders, prepared and binary; return its rows."""
        async with self.connection() as connection:
            return await fetch(connection, sql, *parameters)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Open a unit of work: commits at the end, rolls back on any exception."""
        try:
            async with (
                AsyncSession(self.engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        except (DBAPIError, PoolTimeout, TooManyRequests, *_CONNECTION_LOST) as error:
            if is_connection_error(error):
                raise Unavailable("The database cannot be reached. Try again shortly.") from error
            raise

    def stats(self) -> dict[str, int]:
        """Return the pool's numbers, among them `pool_size`, `pool_available`, `requests_waiting`."""
        return self._pool.get_stats()

    async def _borrow(self) -> AsyncConnection[Row]:
        connection = await self._pool.getconn()
        # local to the client: SQLAlchemy begins by sending the first statement
        await connection.set_autocommit(False)
        return connection


async def fetch(connection: AsyncConnection[Row], sql: str, *parameters: object) -> list[Row]:
    """Run one statement with `$1` placeholders on `connection`, prepared and binary."""
    cursor = AsyncRawCursor(connection)
    await cursor.execute(sql, parameters, prepare=True, binary=True)
    return await cursor.fetchall() if cursor.description else []


async def _autocommit(connection: AsyncConnection[Row]) -> None:
    await connection.set_autocommit(True)
