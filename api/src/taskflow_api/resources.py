"""What the API's process holds open, made once in its lifespan and injected by type."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_api.auth.liveness import Liveness
from taskflow_api.auth.passwords import Passwords
from taskflow_api.auth.tokens import AccessTokens
from taskflow_api.cursors import Cursors
from taskflow_api.keyring import Keyring
from taskflow_api.settings import ApiSettings
from taskflow_api.tasks.publication import Publisher
from taskflow_core.db.database import Database
from taskflow_core.redis import connect
from taskflow_core.telemetry.metrics import ApiMetrics


@dataclass(slots=True)
class Drain:
    """Whether the process is on its way out: it still answers, but asks for no new clients."""

    begun: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """One of each per process."""

    settings: ApiSettings
    database: Database
    redis: Redis
    publisher: Publisher
    keyring: Keyring
    cursors: Cursors
    tokens: AccessTokens
    passwords: Passwords
    liveness: Liveness
    registry: CollectorRegistry
    metrics: ApiMetrics
    drain: Drain = field(default_factory=Drain)


@asynccontextmanager
async def open_resources(
    settings: ApiSettings, registry: CollectorRegistry, metrics: ApiMetrics, drain: Drain
) -> AsyncIterator[Resources]:
    """Open them; neither PostgreSQL nor Redis need be there yet."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            Database.open(settings.database, application_name="taskflow-api")
        )
        redis = connect(settings.redis)
        stack.push_async_callback(redis.aclose)
        keyring = Keyring(settings.auth)
        passwords = stack.enter_context(Passwords(settings.auth))
        yield Resources(
            settings=settings,
            database=database,
            redis=redis,
            publisher=Publisher(redis, metrics),
            keyring=keyring,
            cursors=Cursors(keyring),
            tokens=AccessTokens(settings.auth),
            passwords=passwords,
            liveness=Liveness(database),
            registry=registry,
            metrics=metrics,
            drain=drain,
        )


async def _resources(request: Request) -> Resources:
    # async, though nothing is awaited: the framework sends what is not to a thread
    resources: Resources = request.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(_resources)]
