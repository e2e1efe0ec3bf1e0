"""`taskflow_worker.testing`, and through it the two ways in which a handler is called."""

import asyncio
import threading
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from taskiq import Context as TaskiqContext
from taskiq import TaskiqDepends, TaskiqMessage, TaskiqMiddleware, TaskiqResult, TaskiqState
from taskiq.exceptions import NoResultError

from taskflow_worker import Context, Fatal
from taskflow_worker.broker import FlowBroker
from taskflow_worker.errors import InvalidPayload, ResultRefused, Stopped
from taskflow_worker.testing import Progress, run, run_sync


class Email(BaseModel):
    to: str


class Receipt(BaseModel):
    key: str


@pytest.fixture
def broker() -> FlowBroker:
    return FlowBroker()


async def test_a_handler_runs_as_a_worker_would_run_it(broker: FlowBroker) -> None:
    @broker.handler("send")
    async def send(payload: Email, ctx: Context) -> Receipt:
        assert isinstance(payload, Email)
        await ctx.progress(0.5, "rendered")
        return Receipt(key=ctx.fencing_key)

    progress: list[Progress] = []
    result = await run(send, {"to": "a"}, task_id="T", attempt=2, progress=progress)

    assert result == {"key": "T:2"}, "the result is what the API shows"
    assert progress == [(0.5, "rendered")]
    assert await run(send, Email(to="a"), task_id="T") == {"key": "T:1"}


async def test_what_is_wrong_is_raised(broker: FlowBroker) -> None:
    @broker.handler("send")
    async def send(payload: Email) -> object:
        if payload.to == "fatal":
            raise Fatal("no")
        return object()

    with pytest.raises(InvalidPayload, match="/to: Field required"):
        await run(send, {})
    with pytest.raises(Fatal):
        await run(send, {"to": "fatal"})
    with pytest.raises(ResultRefused):
        await run(send, {"to": "a"})


async def test_the_handlers_timeout_holds(broker: FlowBroker) -> None:
    @broker.handler("slow", timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await run(slow)


async def test_a_handler_can_be_asked_to_stop_before_it_starts(broker: FlowBroker) -> None:
    @broker.handler("polite")
    async def polite(ctx: Context) -> None:
        ctx.raise_if_cancelled()

    assert await run(polite) is None
    with pytest.raises(Stopped):
        await run(polite, cancelled=True)


async def test_a_field_that_a_context_does_not_have_is_a_mistake(broker: FlowBroker) -> None:
    @broker.handler("nothing")
    async def nothing() -> None: ...

    with pytest.raises(TypeError, match="a Context has no atempt"):
        await run(nothing, atempt=2)


def test_a_plain_handler_runs_in_a_thread_and_a_plain_test_may_run_it(broker: FlowBroker) -> None:
    @broker.handler("plain")
    def plain(payload: int, ctx: Context) -> list[Any]:
        ctx.progress(1)
        return [payload + 1, threading.current_thread() is threading.main_thread()]

    assert run_sync(plain, 1) == [2, False]


# ---- Taskiq's own features


class Connection:
    def __init__(self) -> None:
        self.is_open = True


class Recorder(TaskiqMiddleware):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        self.seen.append(f"pre {message.task_name} {message.labels['attempt']}")
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        self.seen.append(f"post {result.return_value}")

    def on_error(
        self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException
    ) -> None:
        self.seen.append(f"error {type(exception).__name__}")


async def test_dependencies_are_resolved_and_closed(broker: FlowBroker) -> None:
    opened: list[Connection] = []

    async def connection(state: Annotated[TaskiqState, TaskiqDepends()]) -> Any:
        opened.append(Connection())
        yield opened[-1]
        opened[-1].is_open = False

    @broker.handler("query")
    async def query(
        payload: int,
        conn: Annotated[Connection, TaskiqDepends(connection)],
        context: Annotated[TaskiqContext, TaskiqDepends()],
        *,
        ctx: Context,
    ) -> list[Any]:
        return [payload, conn.is_open, context.message.labels["flow"], ctx.flow]

    assert await run(query, 3, flow="emails") == [3, True, "emails", "emails"]
    assert [each.is_open for each in opened] == [False]


async def test_a_dependency_may_be_a_default_and_a_handler_a_plain_function(
    broker: FlowBroker,
) -> None:
    def answer() -> int:
        return 42

    @broker.handler("ask")
    def ask(number: int = TaskiqDepends(answer)) -> int:
        return number

    assert await run(ask) == 42


async def test_middlewares_see_every_attempt(broker: FlowBroker) -> None:
    recorder = Recorder()
    broker.add_middlewares(recorder)

    @broker.handler("send")
    async def send(payload: int) -> int:
        if payload < 0:
            raise ValueError("negative")
        return payload + 1

    assert await run(send, 1, attempt=4) == 2
    with pytest.raises(ValueError, match="negative"):
        await run(send, -1)
    assert recorder.seen == [
        "pre send 4",
        "post 2",
        "pre send 1",
        "error ValueError",
        "post None",
    ]


async def test_a_payload_is_validated_once(broker: FlowBroker) -> None:
    broker.add_middlewares(Recorder())

    class Counted(BaseModel):
        times: int

        def model_post_init(self, _: Any) -> None:
            self.times += 1

    @broker.handler("count")
    async def count(payload: Counted) -> int:
        return payload.times

    assert await run(count, {"times": 0}) == 1


async def test_no_result_is_a_result_of_null(broker: FlowBroker) -> None:
    broker.add_middlewares(Recorder())

    @broker.handler("quiet")
    async def quiet() -> None:
        raise NoResultError

    assert await run(quiet) is None
