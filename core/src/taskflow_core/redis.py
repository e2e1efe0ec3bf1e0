"""Connections to Redis or Valkey: bounded waits, no commands queued while it is away."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from taskflow_core.settings import RedisSettings


def connect(settings: RedisSettings, *, blocking_s: float = 0.0) -> Redis:
    """Return a client; nothing is connected until the first command.

    `blocking_s` is the longest wait a blocking command of this client asks for, on top of the timeout
    for one answer. A command on a connection that turned out dead is tried once more on a new one.
    """
    client: Redis = Redis.from_url(
        settings.url.get_secret_value(),
        decode_responses=True,
        encoding_errors="replace",  # bytes that are no text must not stop whoever reads them
        socket_connect_timeout=settings.timeout_s,
        socket_timeout=settings.timeout_s + blocking_s,
        # redis-py's own 100 would fail the 101st command at once; a process serves fewer than this
        max_connections=1_000,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=0,
    )
    return client
