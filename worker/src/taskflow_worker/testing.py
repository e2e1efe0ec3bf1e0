"""Running a handler in a test as a worker would, without a worker.

    result = await run(send, {"to": "a@example.com"}, attempt=2)

The payload is validated, dependencies and middlewares run, the result is what the API would show.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq.receiver import Receiver

from taskflow_core.ids import new_id
from taskflow_worker.attempt import Attempt
from taskflow_worker.broker import FlowBroker
from taskflow_worker.context import Context, Progress
from taskflow_worker.payloads import to_json
from taskflow_worker.plans import compile_plan

__all__ = ["Progress", "run", "run_sync"]


async def run(
    task: AsyncTaskiqDecoratedTask[..., Any],
    payload: object = None,
    *,
    progress: list[Progress] | None = None,
    cancelled: bool = False,
    **context: Any,  # noqa: ANN401 - any field of Context
) -> Any:  # noqa: ANN401 - any JSON
    """Run a handler once and return its result as JSON would show it.

    `payload` is a JSON value or a model. `context` replaces fields of the handler's Context (`task_id`,
    `attempt`, `max_attempts`, `flow`, `traceparent`), `progress` collects what it reports, `cancelled`
    asks it to stop before it starts. Raises what the handler raises, `errors.InvalidPayload`,
    `errors.ResultRefused`, and `TimeoutError` after the handler's timeout.
    """
    broker = cast("FlowBroker", task.broker)
    declaration = broker.declarations[task.task_name]
    attempt = Attempt(
        task_id=str(context.pop("task_id", None) or new_id()),
        number=context.pop("attempt", 1),
        max_attempts=context.pop("max_attempts", declaration.options.policy.max_attempts),
        handler=task.task_name,
        payload=None if payload is None else to_json(payload),
        timeout_s=None,
        traceparent=context.pop("traceparent", None),
        waited_s=0.0,
        session=0,
    )
    flow = context.pop("flow", "test")
    if context:
        raise TypeError(f"a Context has no {', '.join(sorted(context))}")
    attempt.context = Context.of(attempt, flow, (progress if progress is not None else []).append)
    if cancelled:
        attempt.context.cancelled.set()
    with ThreadPoolExecutor(1) as threads:
        receiver = Receiver(
            broker, executor=threads, validate_params=False, max_async_tasks=1, run_startup=False
        )
        plan = compile_plan(broker, receiver, task.task_name, flow)
        async with asyncio.timeout(declaration.options.timeout_s):
            return msgspec.json.decode(await plan.run(attempt))


def run_sync(
    task: AsyncTaskiqDecoratedTask[..., Any],
    payload: object = None,
    **options: Any,  # noqa: ANN401 - as run takes
) -> Any:  # noqa: ANN401 - any JSON
    """Do as `run`, from a test that is no coroutine."""
    return asyncio.run(run(task, payload, **options))
