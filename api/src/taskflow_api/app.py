"""The application: routes, layers and resources, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from taskflow_api import problems
from taskflow_api.auth.endpoints import routes as auth
from taskflow_api.docs import routes as docs
from taskflow_api.health.endpoints import routes as health
from taskflow_api.middleware import BodyLimit, Edge
from taskflow_api.openapi import describe
from taskflow_api.resources import Drain, Resources, open_resources
from taskflow_api.settings import ApiSettings
from taskflow_api.tasks.endpoints import routes as tasks
from taskflow_api.users.endpoints import routes as users
from taskflow_core import __version__
from taskflow_core.telemetry.metrics import ApiMetrics

# the hottest first: a request is compared with one route after the other
ROUTERS = (tasks, auth, users, health, docs)


class State(TypedDict):
    """What the lifespan gives to each request's state."""

    resources: Resources


def create_app(settings: ApiSettings, drain: Drain | None = None) -> FastAPI:
    """Return the application; it connects when it is started. `drain`: who tells it to leave."""
    registry = CollectorRegistry()
    metrics = ApiMetrics(registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with open_resources(settings, registry, metrics, drain or Drain()) as resources:
            yield {"resources": resources}

    app = bare_app(lifespan)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.http.cors_origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=[
            "Authorization",
            "Content-Type",
            "If-Match",
            "If-None-Match",
            "Idempotency-Key",
            "Traceparent",
        ],
        expose_headers=["ETag", "Location", "Idempotency-Replayed", "X-Request-Id", "Retry-After"],
    )
    app.add_middleware(BodyLimit, limit=settings.http.max_body_bytes)
    app.add_middleware(Edge, metrics=metrics)  # the last one added is the outermost
    return app


def bare_app(lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """Return the application without anything that needs settings: enough for its document."""
    app = FastAPI(
        title="TaskFlow",
        version=__version__,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,  # see docs.py
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.state.routers = ROUTERS
    problems.install(app)
    describe(app)
    return app
