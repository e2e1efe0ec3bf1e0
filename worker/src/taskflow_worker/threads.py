"""Threads for `def` handlers: they block nobody, and nobody can stop them."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any


class ThreadGoesOn(asyncio.CancelledError):
    """The wait for a thread was cancelled; the thread was not. `future` says when it ends."""

    def __init__(self, future: "asyncio.Future[Any]") -> None:
        super().__init__()
        self.future = future


def in_thread(
    function: Callable[..., Any], executor: Executor | None
) -> Callable[..., Awaitable[Any]]:
    """Return `function` as a coroutine function that runs it in a thread, in a copy of the context.

    Cancelled, it raises `ThreadGoesOn`.
    """

    async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any handler's
        work = partial(contextvars.copy_context().run, _call, function, args, kwargs)
        future = asyncio.get_running_loop().run_in_executor(executor, work)
        try:
            # shielded: cancelling the future would only hide that the thread goes on
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.done():
                raise
            raise ThreadGoesOn(future) from None

    return call


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        # no future can hold it: before Python 3.12.2 whoever waits would wait for ever
        raise RuntimeError("the handler raised StopIteration") from error
