"""Probes, details and metrics: at the root, never limited, without login."""

import asyncio

import msgspec
from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from taskflow_api.health import checks
from taskflow_api.resources import Resources, ResourcesDep
from taskflow_core import __version__

routes = APIRouter(tags=["health"])

_TEXT = "text/plain; charset=utf-8"


@routes.get("/livez", response_class=Response)
async def livez() -> Response:
    """Tell that the process answers; it asks no dependency."""
    return Response("ok\n", media_type=_TEXT)


@routes.get("/readyz", response_class=Response, responses={503: {"description": "Not ready."}})
async def readyz(resources: ResourcesDep) -> Response:
    """Tell whether to send requests here: PostgreSQL is there, and the process is not leaving."""
    if resources.drain.begun:
        return Response("draining\n", 503, media_type=_TEXT)
    database = await checks.database(resources)
    if not database.ok:
        return Response(f"{database.problem}\n", 503, media_type=_TEXT)
    return Response("ready\n", media_type=_TEXT)


@routes.get("/healthz", response_class=Response, responses={503: {"description": "Unhealthy."}})
async def healthz(resources: ResourcesDep) -> Response:
    """Tell how each dependency is."""
    database, redis = await asyncio.gather(checks.database(resources), checks.redis(resources))
    healthy = database.ok and redis.ok
    body = {
        "status": "healthy" if healthy else "degraded" if database.ok else "unhealthy",
        "version": __version__,
        "draining": resources.drain.begun,
        "checks": {"database": database, "redis": redis},
    }
    status = 200 if database.ok else 503
    return Response(msgspec.json.encode(body), status, media_type="application/json")


@routes.get("/metrics", response_class=Response)
async def metrics(resources: ResourcesDep) -> Response:
    """Give Prometheus the metrics of this process."""
    _sample_pool(resources)
    return Response(generate_latest(resources.registry), media_type=CONTENT_TYPE_LATEST)


def _sample_pool(resources: Resources) -> None:
    stats = resources.database.stats()
    pool = resources.metrics.pool
    pool.labels("size").set(stats.get("pool_size", 0))
    pool.labels("idle").set(stats.get("pool_available", 0))
    pool.labels("waiting").set(stats.get("requests_waiting", 0))
