"""Middlewares, dependencies and hooks, as Taskiq documents them."""

from typing import Annotated, Any

from taskiq import (
    TaskiqDepends,
    TaskiqEvents,
    TaskiqMessage,
    TaskiqMiddleware,
    TaskiqResult,
    TaskiqState,
)

from tests.support.worker import Lab


class Recorder(TaskiqMiddleware):
    """Notes what it sees, and the status that PostgreSQL has at `post_save`."""

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab, self.seen = lab, list[str]()

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        self.seen.append(f"pre {message.labels['attempt']}")
        return message

    async def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        self.seen.append(f"saved {await self.lab.status(message.task_id)}")


async def test_middlewares_and_hooks_work_and_post_save_comes_when_it_is_saved(lab: Lab) -> None:
    recorder = Recorder(lab)
    lab.broker.add_middlewares(recorder)

    @lab.broker.on_event(TaskiqEvents.WORKER_STARTUP)
    async def start(state: TaskiqState) -> None:
        state.greeting = "hello"

    @lab.broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
    async def shut_down(state: TaskiqState) -> None:
        recorder.seen.append("shutdown")

    def greeting(state: Annotated[TaskiqState, TaskiqDepends()]) -> str:
        return str(state.greeting)

    @lab.broker.handler("greet")
    async def greet(name: str, greeting: Annotated[str, TaskiqDepends(greeting)]) -> str:
        return f"{greeting} {name}"

    task = await lab.create_one("greet", "Ada")
    async with lab.worker():
        assert await lab.result(task) == "hello Ada"

    assert recorder.seen == ["pre 1", "saved COMPLETED", "shutdown"]
