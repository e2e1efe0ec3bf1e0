"""What `@handler` accepts, and the sentence it says when it does not."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel
from taskiq import TaskiqDepends

from taskflow_core.tasks.retry import RetryPolicy
from taskflow_worker import Context
from taskflow_worker.broker import CreateThroughTheApi, FlowBroker, RunByTaskFlow
from taskflow_worker.declaration import MISSING, Declaration
from taskflow_worker.errors import BadDeclaration

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTheTypeChecker


class Email(BaseModel):
    to: str


class Opaque:
    """A type that pydantic knows nothing about."""


def dependency() -> int:
    return 1


@pytest.fixture
def broker() -> FlowBroker:
    return FlowBroker()


def declared(broker: FlowBroker, name: str = "a") -> Declaration:
    return broker.declarations[name]


def test_payload_context_and_dependencies_are_told_apart(broker: FlowBroker) -> None:
    @broker.handler("a", timeout="30s", retries=5, backoff_max=timedelta(minutes=1))
    async def send(
        email: Email, ctx: Context, number: Annotated[int, TaskiqDepends(dependency)]
    ) -> Email:
        return email

    it = declared(broker)
    assert (it.payload, it.context, it.dependencies) == ("email", "ctx", ("number",))
    assert it.is_async
    assert it.takes is not None
    assert it.gives is not None
    assert it.options.timeout_s == 30
    assert it.options.policy == RetryPolicy(max_attempts=6, max_s=60)
    assert send.task_name == "a"


def test_a_handler_may_take_nothing(broker: FlowBroker) -> None:
    @broker.handler("a")
    def nothing() -> None: ...

    it = declared(broker)
    assert (it.payload, it.context, it.is_async) == (None, None, False)


def test_a_handler_may_take_the_context_only(broker: FlowBroker) -> None:
    @broker.handler("a")
    async def context_only(ctx: Context) -> None: ...

    assert (declared(broker).payload, declared(broker).context) == (None, "ctx")


def test_a_payload_may_have_a_default_and_no_annotation(broker: FlowBroker) -> None:
    @broker.handler("a")
    async def untyped(payload=3):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the point of the test
        return payload

    it = declared(broker)
    assert (it.payload, it.payload_default, it.takes) == ("payload", 3, None)


def test_a_payload_without_a_default_is_required(broker: FlowBroker) -> None:
    @broker.handler("a")
    async def required(payload: int) -> None: ...

    assert declared(broker).payload_default is MISSING


def test_a_declared_handler_is_still_a_function(broker: FlowBroker) -> None:
    @broker.handler("a")
    def double(n: int) -> int:
        return 2 * n

    assert double(4) == 8


async def generator() -> AsyncIterator[int]:
    yield 1


def sync_generator() -> Iterator[int]:
    yield 1


async def variadic(*args: int) -> None: ...
async def keywords(payload: int, **more: int) -> None: ...
async def two_payloads(first: int, second: int) -> None: ...
async def two_contexts(one: Context, other: Context) -> None: ...
async def hidden_context(payload: int, ctx: Context, /) -> None: ...
async def opaque(payload: Opaque) -> None: ...
async def opaque_result() -> Opaque:
    return Opaque()


async def not_imported(payload: "OnlyForTheTypeChecker") -> None: ...


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        (generator, "cannot `yield`"),
        (sync_generator, "cannot `yield`"),
        (variadic, r"\*args cannot be filled"),
        (keywords, r"\*more cannot be filled"),
        (two_payloads, "nothing fills 'second'.*TaskiqDepends"),
        (two_contexts, "one and other are both a Context"),
        (hidden_context, "ctx must not be positional-only"),
        (opaque, "pydantic cannot handle the payload's type"),
        (opaque_result, "pydantic cannot handle the return value's type"),
        (not_imported, "OnlyForTheTypeChecker.*import its type"),
        (Email, "a handler is a function"),
        (print, "a handler is a function"),
    ],
)
def test_what_could_never_run_fails_at_import_with_a_sentence(
    broker: FlowBroker, function: Any, complaint: str
) -> None:
    with pytest.raises(BadDeclaration, match=complaint) as refused:
        broker.handler("emails.send")(function)

    assert str(refused.value).startswith("handler 'emails.send' (")
    assert not broker.declarations
    assert not broker.local_task_registry, "Taskiq knows nothing of it either"


@pytest.mark.parametrize("name", ["", "A", "a b", "ä", "-a", "a" * 101, "a\n", None, 3])
def test_a_name_that_clients_could_not_write_is_refused(broker: FlowBroker, name: Any) -> None:
    with pytest.raises(BadDeclaration, match="a name has 1 to 100"):
        broker.handler(name)(generator)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"timeout": "soon"}, "timeout must be written like"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": []}, "timeout must be a string"),
        ({"retries": -1}, "retries must be a whole number from 0 to 100"),
        ({"retries": 1.5}, "retries must be a whole number"),
        ({"retries": True}, "retries must be a whole number"),
        ({"backoff_factor": 0.5}, "backoff_factor must be a number from 1"),
        ({"backoff_factor": float("nan")}, "backoff_factor must be a number from 1"),
        ({"backoff_initial": "x"}, "backoff_initial must be"),
        ({"backoff_max": -1}, "backoff_max must be"),
    ],
)
def test_a_bad_option_is_named(broker: FlowBroker, options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadDeclaration, match=complaint):
        broker.handler("a", **options)


def test_two_handlers_cannot_have_one_name(broker: FlowBroker) -> None:
    @broker.handler("a")
    async def first() -> None: ...

    with pytest.raises(BadDeclaration, match=r"'a' is declared twice: in .*test_declaration"):

        @broker.handler("a")
        async def second() -> None: ...


async def test_tasks_are_created_through_the_api_only(broker: FlowBroker) -> None:
    @broker.handler("a")
    async def first() -> None: ...

    with pytest.raises(Exception, match="Cannot send task") as refused:
        await first.kiq()

    assert isinstance(refused.value.__cause__, CreateThroughTheApi)
    assert "POST /api/v1/tasks" in str(refused.value.__cause__)


def test_taskiqs_own_worker_cannot_run_them(broker: FlowBroker) -> None:
    with pytest.raises(RunByTaskFlow, match="python -m taskflow_worker"):
        broker.listen()
