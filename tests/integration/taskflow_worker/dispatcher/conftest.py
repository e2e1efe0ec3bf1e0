"""What the dispatcher's duties work on."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core.db.leases import LeaseHolder
from taskflow_core.db.link import Link
from taskflow_core.queue.window import Window
from taskflow_core.settings import DatabaseSettings
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import LeaderLink


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> DispatcherMetrics:
    return DispatcherMetrics(registry)


@pytest.fixture
def window(redis: Redis) -> Window:
    return Window(redis)


@pytest.fixture
async def leader_link(database_settings: DatabaseSettings) -> AsyncIterator[Link]:
    """The connection under `leader`."""
    opened = Link(database_settings, application_name="leader")
    yield opened
    await opened.close()


@pytest.fixture
async def lease(link: Link) -> LeaseHolder:
    """The dispatcher's lease, held."""
    holder = LeaseHolder(link, "dispatcher", "replica-1", ttl_s=60.0)
    assert await holder.acquire()
    return holder


@pytest.fixture
def leader(lease: LeaseHolder, leader_link: Link) -> LeaderLink:
    return LeaderLink(lease, leader_link)
