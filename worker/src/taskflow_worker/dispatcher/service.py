"""The dispatcher as a process: what it is made of, from its start to its end."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core import redis as redis_client
from taskflow_core.db.leases import LeaseHolder
from taskflow_core.db.link import Link
from taskflow_core.queue.window import Window
from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.audit import Audit
from taskflow_worker.dispatcher.chores import chores
from taskflow_worker.dispatcher.duty import Duty, LeaderLink
from taskflow_worker.dispatcher.election import Election
from taskflow_worker.dispatcher.report import Report
from taskflow_worker.dispatcher.sessions import Contact, Expire, Sweep
from taskflow_worker.dispatcher.timings import Timings
from taskflow_worker.dispatcher.top_up import TopUp

LEASE = "dispatcher"
APPLICATION = "taskflow-dispatcher"


@asynccontextmanager
async def duties(
    database: DatabaseSettings,
    redis: Redis,
    lease: LeaseHolder,
    metrics: DispatcherMetrics,
    timings: Timings,
) -> AsyncIterator[list[Duty]]:
    """Give the duties of one time of leading, with fresh memories and connections.

    Each has a connection of its own, so that none waits for another's slow statement.
    """
    async with AsyncExitStack() as stack:

        def db() -> LeaderLink:
            link = Link(database, application_name=APPLICATION)
            stack.push_async_callback(link.close)
            return LeaderLink(lease, link)

        window = Window(redis)
        slots: dict[str, int] = {}
        top_up = TopUp(db(), window, slots=slots, metrics=metrics, timings=timings)
        contact = Contact(timings.contact_gap_s)
        yield [
            top_up,
            Expire(db(), metrics=metrics, timings=timings, contact=contact),
            Sweep(db(), metrics=metrics, timings=timings),
            Audit(db(), window, metrics=metrics, timings=timings),
            Report(
                *(db(), redis),
                slots=slots,
                target=top_up.target,
                metrics=metrics,
                timings=timings,
            ),
            *chores(db(), timings),
        ]


@asynccontextmanager
async def candidate(
    database: DatabaseSettings,
    redis: RedisSettings,
    *,
    replica: str,
    registry: CollectorRegistry,
    timings: Timings,
) -> AsyncIterator[Election]:
    """Give a replica that can stand for the lease; nothing is connected before it does."""
    async with AsyncExitStack() as stack:
        client = redis_client.connect(redis)
        stack.push_async_callback(client.aclose)
        link = Link(database, application_name=APPLICATION)
        stack.push_async_callback(link.close)
        lease = LeaseHolder(link, LEASE, replica, ttl_s=timings.lease_ttl_s)
        metrics = DispatcherMetrics(registry)

        def office() -> AbstractAsyncContextManager[list[Duty]]:
            return duties(database, client, lease, metrics, timings)

        yield Election(lease, office, metrics=metrics, timings=timings)
