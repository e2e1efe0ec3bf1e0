"""How each handler is called: worked out once, when the worker starts.

The lean way awaits the function and nothing else. Where a middleware or a dependency could see the
difference, Taskiq's own `run_task` runs it, so that both do what Taskiq documents.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.exceptions import NoResultError
from taskiq.receiver import Receiver
from taskiq.utils import maybe_awaitable

from taskflow_worker.attempt import Attempt
from taskflow_worker.broker import FlowBroker
from taskflow_worker.declaration import Declaration
from taskflow_worker.payloads import arguments, result_json
from taskflow_worker.threads import in_thread

_HOOKS = ("pre_execute", "post_execute", "post_save", "on_error")


class Plan:
    """One handler, ready to run."""

    def __init__(
        self, declaration: Declaration, executor: Executor | None, taskiq: "ThroughTaskiq | None"
    ) -> None:
        self.declaration = declaration
        self._call: Callable[..., Awaitable[Any]] = (
            declaration.function
            if declaration.is_async
            else in_thread(declaration.function, executor)
        )
        self._taskiq = taskiq

    async def run(self, attempt: Attempt) -> str:
        """Run the handler; return its result as JSON.

        `attempt.context` is set if the handler takes one. Raises what the handler raises,
        `InvalidPayload` and `ResultRefused`.
        """
        args = arguments(self.declaration, attempt.payload)
        kwargs: dict[str, Any] = {}
        if self.declaration.context is not None:
            kwargs[self.declaration.context] = attempt.context
        if self._taskiq is None:
            value = await self._call(*args, **kwargs)
        else:
            value = await self._taskiq.run(self._call, attempt, args, kwargs)
        return result_json(self.declaration, value)


class ThroughTaskiq:
    """Runs a handler as Taskiq's own receiver would: middlewares, dependencies, `run_task`."""

    def __init__(self, receiver: Receiver, labels: dict[str, Any], flow: str) -> None:
        self._receiver = receiver
        self._labels = labels | {"flow": flow}
        middlewares = receiver.broker.middlewares
        self._before = _overriding(middlewares, "pre_execute")
        self._after = _overriding(middlewares, "post_execute")[::-1]
        self._saved = _overriding(middlewares, "post_save")[::-1]

    async def run(
        self,
        function: Callable[..., Awaitable[Any]],
        attempt: Attempt,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Return what the handler returns. Raises what it raises."""
        message = TaskiqMessage(
            task_id=attempt.task_id,
            task_name=attempt.handler,
            labels={
                **self._labels,
                "attempt": attempt.number,
                "max_attempts": attempt.max_attempts,
            },
            args=list(args),
            kwargs=kwargs,
        )
        for middleware in self._before:
            message = await maybe_awaitable(middleware.pre_execute(message))
        result: TaskiqResult[Any] = await self._receiver.run_task(function, message)
        for middleware in self._after:
            await maybe_awaitable(middleware.post_execute(message, result))
        if isinstance(result.error, NoResultError):
            return None
        if self._saved:
            attempt.on_settled = partial(self._save, message, result)
        if result.error is not None:
            raise result.error
        return result.return_value

    async def _save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Call `post_save` when PostgreSQL has the result, not when it is merely buffered."""
        for middleware in self._saved:
            await maybe_awaitable(middleware.post_save(message, result))


def compile_plans(broker: FlowBroker, receiver: Receiver, flow: str) -> dict[str, Plan]:
    """Return the plan of each handler of `broker`; `def` handlers run in the receiver's executor."""
    return {name: compile_plan(broker, receiver, name, flow) for name in broker.declarations}


def compile_plan(broker: FlowBroker, receiver: Receiver, name: str, flow: str) -> Plan:
    """Return the plan of one handler."""
    declaration = broker.declarations[name]
    watched = any(_overriding(broker.middlewares, hook) for hook in _HOOKS)
    through = None
    if watched or declaration.dependencies:
        through = ThroughTaskiq(receiver, broker.local_task_registry[name].labels, flow)
    return Plan(declaration, receiver.executor, through)


def _overriding(middlewares: list[TaskiqMiddleware], hook: str) -> list[TaskiqMiddleware]:
    stock = getattr(TaskiqMiddleware, hook)
    return [each for each in middlewares if getattr(type(each), hook) is not stock]
