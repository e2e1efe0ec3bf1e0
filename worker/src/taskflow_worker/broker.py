"""TaskFlow's Taskiq broker: the registry of handlers, and the home of middlewares and dependencies.

Importing it connects to nothing. Add middlewares (`broker.add_middlewares`), start-up hooks
(`broker.on_event`) and shared state (`broker.state`) in a handler package as Taskiq documents it.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Never

from taskiq import AckableMessage, AsyncBroker, BrokerMessage
from taskiq.decor import AsyncTaskiqDecoratedTask
from taskiq.exceptions import TaskiqError

from taskflow_worker.declaration import DEFAULT_RETRIES, Declaration, declare, options
from taskflow_worker.durations import Duration
from taskflow_worker.errors import BadDeclaration


class CreateThroughTheApi(TaskiqError):
    """A task was to be enqueued behind the API's back."""

    __template__ = (
        "Tasks are created through the API (POST /api/v1/tasks or /tasks/batch), which knows whose they"
        " are and which limits hold; kiq() would go around both"
    )


class RunByTaskFlow(TaskiqError):
    """Taskiq's own worker was started on this broker."""

    __template__ = "Start workers of this broker with: python -m taskflow_worker"


class FlowBroker(AsyncBroker):
    """An `AsyncBroker` whose tasks are TaskFlow handlers; `FlowReceiver` is what runs them."""

    def __init__(self) -> None:
        super().__init__()
        self.declarations: dict[str, Declaration] = {}

    def handler[**P, R](
        self,
        name: str,
        *,
        timeout: Duration | None = None,
        retries: int = DEFAULT_RETRIES,
        backoff_initial: Duration = "1s",
        backoff_factor: float = 2.0,
        backoff_max: Duration = "5m",
        labels: Mapping[str, Any] | None = None,
    ) -> Callable[[Callable[P, R]], AsyncTaskiqDecoratedTask[P, R]]:
        """Make a function the handler `name`.

        `timeout` is of one attempt. `retries` is how many further attempts may follow the first. The
        pause after failed attempt n is random, up to `backoff_initial · backoff_factor^(n-1)` and never
        above `backoff_max`. `labels` are Taskiq's, for middlewares. What a task says itself (attempts,
        timeout) goes before what its handler says. Raises `BadDeclaration`.
        """
        chosen = options(
            timeout=timeout,
            retries=retries,
            backoff_initial=backoff_initial,
            backoff_factor=backoff_factor,
            backoff_max=backoff_max,
        )

        def register(function: Callable[P, R]) -> AsyncTaskiqDecoratedTask[P, R]:
            declaration = declare(name, function, chosen)
            if name in self.declarations:
                other = self.declarations[name].function
                raise BadDeclaration(
                    f"handler {name!r} is declared twice: in {other.__module__} and in"
                    f" {function.__module__}; give one of them another name"
                )
            task = self.task(task_name=name, **(labels or {}))(function)
            self.declarations[name] = declaration
            return task

        return register

    async def kick(self, message: BrokerMessage) -> Never:  # noqa: ARG002 - Taskiq's signature
        """Refuse: raises `CreateThroughTheApi`."""
        raise CreateThroughTheApi

    def listen(self) -> AsyncGenerator[bytes | AckableMessage, None]:
        """Refuse Taskiq's own receiver, which would lose tasks: raises `RunByTaskFlow`."""
        raise RunByTaskFlow


broker = FlowBroker()
handler = broker.handler
