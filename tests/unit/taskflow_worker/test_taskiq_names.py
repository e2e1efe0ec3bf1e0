"""The names of Taskiq that are public but not documented, and that we rely on."""

import inspect
from typing import Annotated

from taskiq import TaskiqDepends, TaskiqMessage
from taskiq.receiver import Receiver

from taskflow_worker.broker import FlowBroker


async def test_run_task_runs_a_message_with_its_dependencies_and_keeps_the_error() -> None:
    broker = FlowBroker()

    def one() -> int:
        return 1

    @broker.handler("add")
    async def add(payload: int, number: Annotated[int, TaskiqDepends(one)]) -> int:
        if payload < 0:
            raise ValueError
        return payload + number

    receiver = Receiver(broker, validate_params=False, max_async_tasks=1, run_startup=False)

    def message(payload: int) -> TaskiqMessage:
        return TaskiqMessage(task_id="t", task_name="add", labels={}, args=[payload], kwargs={})

    good = await receiver.run_task(add.original_func, message(2))
    bad = await receiver.run_task(add.original_func, message(-1))

    assert (good.is_err, good.return_value) == (False, 3)
    assert isinstance(bad.error, ValueError)


def test_the_receivers_signature_is_the_one_we_call() -> None:
    parameters = inspect.signature(Receiver.__init__).parameters

    assert {"executor", "validate_params", "max_async_tasks", "run_startup"} <= parameters.keys()
    assert list(inspect.signature(Receiver.listen).parameters) == ["self", "finish_event"]
