"""The arguments of the three hottest routes, found without the framework's dependency solver.

Each function knows ordinary requests only and returns None for all others (no bearer token, a role
without the permission, a parameter that is not valid): those take the long way, which says what is wrong.
"""

from typing import Any
from uuid import UUID

from starlette.requests import Request

from taskflow_api.auth.dependencies import Caller, caller_of
from taskflow_api.auth.permissions import Permission
from taskflow_api.resources import Resources
from taskflow_api.tasks.filters import TaskFilters
from taskflow_api.tasks.schemas import TaskCreate

_BEARER = "Bearer "
_LISTS = frozenset({"status", "priority"})
_DEFAULT = TaskFilters()


async def create_task(request: Request) -> dict[str, Any] | None:
    """Find the arguments of `POST /tasks`."""
    found = await _common(request, "tasks:create")
    if found is None:
        return None
    try:
        body = TaskCreate.model_validate(await request.json())
    except ValueError:  # also of the JSON parser, for want of a body
        return None
    return found | {
        "body": body,
        "idempotency_key": request.headers.get("idempotency-key"),
        "traceparent": request.headers.get("traceparent"),
    }


async def list_tasks(request: Request) -> dict[str, Any] | None:
    """Find the arguments of `GET /tasks`."""
    found = await _common(request, "tasks:read")
    if found is None:
        return None
    filters = _DEFAULT
    if request.scope["query_string"]:
        sent = request.query_params
        query = {name: sent.getlist(name) if name in _LISTS else sent[name] for name in sent}
        if sum(len(value) if name in _LISTS else 1 for name, value in query.items()) < len(
            sent.multi_items()
        ):
            return None  # a parameter stands twice
        try:
            filters = TaskFilters.model_validate(query)
        except ValueError:
            return None
    return found | {"filters": filters}


async def get_task(request: Request) -> dict[str, Any] | None:
    """Find the arguments of `GET /tasks/{task_id}`."""
    found = await _common(request, "tasks:read")
    if found is None:
        return None
    text = request.path_params["task_id"]
    try:
        task_id = UUID(text)
    except ValueError:
        return None
    if str(task_id) != text:
        return None
    return found | {"task_id": task_id, "if_none_match": request.headers.get("if-none-match")}


async def _common(request: Request, permission: Permission) -> dict[str, Any] | None:
    """Find resources and caller. Raises `Unauthenticated`."""
    authorization = request.headers.get("authorization", "")
    if not authorization.startswith(_BEARER):
        return None
    resources: Resources = request.state.resources
    caller: Caller = await caller_of(resources, authorization.removeprefix(_BEARER))
    return {"resources": resources, "caller": caller} if caller.may(permission) else None
