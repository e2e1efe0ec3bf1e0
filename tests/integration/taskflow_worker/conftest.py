"""What the worker's tests share."""

from collections.abc import Iterator

import pytest
import structlog
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.link import Link
from taskflow_core.settings import DatabaseSettings, RedisSettings
from tests.support.worker import Lab


@pytest.fixture(autouse=True)
def plain_log() -> Iterator[None]:
    """Log in one line: to draw a traceback with all variables takes half a second of the loop."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ]
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
def lab(
    database: Database,
    link: Link,
    redis: Redis,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
) -> Lab:
    return Lab(database, link, redis, (database_settings, redis_settings))
