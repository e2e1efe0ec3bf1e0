"""One pool of psycopg connections per process, for hot statements and for SQLModel sessions alike.

Hot paths take a connection in autocommit mode and run one prepared statement. Everything else uses an
`AsyncSession`, which borrows from the same pool, so a process never holds more connections than the
pool has and nobody who holds one waits for a second.
"""

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

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

# what the statement itself did wrong: it would do it again
FINAL_ERRORS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.ProgrammingError,
    # class 54, "program limit exceeded": psycopg files these under OperationalError, but JSON that is
    # nested too deeply today is nested too deeply for ever
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)
_ANSWER_S = 1.0  # for the way of an answer

_AWAY = (PoolTimeout, TooManyRequests, psycopg.OperationalError, psycopg.InterfaceError)


def is_connection_error(error: BaseException) -> bool:
    """Tell whether `error` speaks of PostgreSQL being away or overloaded, not of the statement."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return isinstance(error, _AWAY) and not isinstance(error, FINAL_ERRORS)


class _Lent(AsyncConnection[Row]):
    """A connection that goes back to its pool when it is closed, broken or not.

    SQLAlchemy closes what it borrowed. psycopg's own `close_returns` forgets connections that broke
    meanwhile: each would cost the pool a place for ever.
    """

    _deadline: asyncio.TimerHandle | None = None

    def lend(self, for_s: float) -> None:
        """Cut the line when it is not back in time.

        A server that is frozen answers nothing, not even to a cancel request; an end of file wakes
        whoever waits for it at once.
        """
        self.take_back()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(for_s, self._cut)

    def take_back(self) -> None:
        """Note that it came back in time."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        # a duplicate: psycopg goes on owning the descriptor itself
        with (
            contextlib.suppress(psycopg.Error, OSError),
            socket.socket(fileno=os.dup(self.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        self.take_back()
        pool = cast("AsyncConnectionPool[_Lent] | None", self._pool)
        if pool is None:
            await super().close()
        else:
            await pool.putconn(self)
            self._pool = None


class Database:
    """Connections to PostgreSQL. Make it with `open()`, once per process."""

    def __init__(self, settings: DatabaseSettings, *, application_name: str) -> None:
        # the server ends a statement before that, if it is alive
        self._lent_s = settings.statement_timeout_s + _ANSWER_S
        self._pool: AsyncConnectionPool[_Lent] = AsyncConnectionPool(
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
                " -c idle_in_transaction_session_timeout=10000"
                # moments come back in UTC, whatever the server's own zone
                " -c timezone=UTC",
            },
            min_size=settings.pool_size,
            max_size=settings.pool_size,
            timeout=settings.pool_timeout_s,
            max_lifetime=1800,
            # Give up at once: whoever asks next lets the pool try again. The pool's own pauses between
            # attempts would keep it away for seconds after PostgreSQL is back.
            reconnect_timeout=0.25,
            open=False,
            check=self._still_there,
            reset=_autocommit,
            connection_class=_Lent,
        )
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._borrow,
            poolclass=NullPool,
            # else each borrowed connection is asked for hstore's type number
            use_native_hstore=False,
            # an error is logged with its statement, never with what people sent
            hide_parameters=True,
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
        with _unavailable():
            async with self._pool.connection() as connection:
                connection.lend(self._lent_s)
                try:
                    yield connection
                finally:
                    connection.take_back()

    async def fetch(self, sql: str, *parameters: object) -> list[Row]:
        """Run one statement with `$1` placeholders, prepared and binary; return its rows."""
        async with self.connection() as connection:
            return await fetch(connection, sql, *parameters)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """Open a unit of work: commits at the end, rolls back on any exception.

        Raises `Unavailable` as `connection` does.
        """
        with _unavailable():
            async with (
                AsyncSession(self.engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session

    def stats(self) -> dict[str, int]:
        """Return the pool's numbers, among them `pool_size`, `pool_available`, `requests_waiting`."""
        return self._pool.get_stats()

    async def _borrow(self) -> AsyncConnection[Row]:
        connection = await self._pool.getconn()
        connection.lend(self._lent_s)
        # local to the client: SQLAlchemy begins by sending the first statement
        await connection.set_autocommit(False)
        return connection

    async def _still_there(self, connection: AsyncConnection[Row]) -> None:
        """Refuse a pooled connection that the server has closed, without asking the server.

        An idle connection has nothing to read unless it is at its end; a look costs 2 µs. One closed
        connection seldom comes alone, so all of the pool are looked at then: a restart of PostgreSQL
        must not cost one failed request for each of them.
        """
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        if poll.poll(0):
            connection.pgconn.finish()
            await self._pool.check()
            raise psycopg.OperationalError("the server has closed this connection")


async def fetch(connection: AsyncConnection[Row], sql: str, *parameters: object) -> list[Row]:
    """Run one statement with `$1` placeholders on `connection`, prepared and binary."""
    cursor = AsyncRawCursor(connection)
    await cursor.execute(sql, parameters, prepare=True, binary=True)
    # not `description`: that builds an object for each column, 50 µs for a wide table
    return await cursor.fetchall() if cursor.rownumber is not None else []


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, *_AWAY) as error:
        if is_connection_error(error):
            raise Unavailable("The database cannot be reached. Try again shortly.") from error
        raise


async def _autocommit(connection: AsyncConnection[Row]) -> None:
    await connection.set_autocommit(True)
