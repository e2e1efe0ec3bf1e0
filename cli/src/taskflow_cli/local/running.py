"""`taskflow up` from its first line to its last: start, show, stay, stop."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence

from redis.exceptions import RedisError
from rich.console import Console

from taskflow_cli.errors import CommandError
from taskflow_cli.local import flows, parts, show
from taskflow_cli.local.children import tail
from taskflow_cli.local.data import DataDirectory
from taskflow_cli.local.stack import Options, Stack
from taskflow_cli.local.supervisor import PartFailedError
from taskflow_cli.screen import console as make_console
from taskflow_cli.screen import say_no_more

_LOOK_EVERY_S = 0.5


async def run(
    data: DataDirectory,
    options: Options,
    *,
    left: Sequence[str],
    detached: bool,
    on_ready: Callable[[], None],
) -> None:
    """Run a stack until a signal ends it. The caller holds the data directory.

    `left`: parts that an earlier run had left. `on_ready` is called when everything that belongs to the
    start has been printed. Raises `CommandError` if something does not start; then nothing is left.
    """
    console = make_console()
    starting = show.Starting(console)
    late: list[str] = []  # what happens before the dashboard is there
    dashboard: show.Dashboard | None = None

    def announce(sentence: str) -> None:
        if dashboard is None:
            late.append(sentence)
        else:
            dashboard.say(sentence)

    stack = Stack(data, options, step=starting.step, announce=announce)
    with _signals(stack, console) as stop:
        try:
            starting.step("environment")
            await _or_stop(stack.start(), stop)
            if not stop.is_set():
                starting.ready()
                if left:
                    console.print(f"  ended what an earlier run had left: {', '.join(left)}")
                await _welcome(console, data, options, detached=detached)
                on_ready()
                with show.Dashboard(make_console() if detached else console) as dashboard:
                    for sentence in late:
                        dashboard.say(sentence)
                    await _or_stop(_watch(stack, dashboard, options), stop)
        except* PartFailedError as group:
            failed = _first(group)
            starting.failed(failed.name)
            raise _explained(failed) from None
        except* CommandError as group:
            console.print()
            raise _first(group) from None
        finally:
            began = time.monotonic()
            if stop.is_set():
                console.print("\nstopping …" if not detached else "stopping …")
            await stack.stop()
        show.stopped(console, time.monotonic() - began)


async def _welcome(
    console: Console, data: DataDirectory, options: Options, *, detached: bool
) -> None:
    life = await asyncio.to_thread(show.sample, options.api_url) if options.seeded else None
    show.addresses(console, options.api_url, seeded=options.seeded, sample_life=life)
    if options.seeded:
        show.try_it(console, options.api_url)
    show.closing(console, data.root, detached=detached)


async def _watch(stack: Stack, dashboard: show.Dashboard, options: Options) -> None:
    tally = flows.Tally()
    while True:
        assert stack.redis is not None  # noqa: S101 - it has started
        with contextlib.suppress(RedisError, OSError):  # it is being started again, and said so
            dashboard.show(await flows.lines(stack.redis, tally, {parts.FLOW: options.workers}))
        await asyncio.sleep(_LOOK_EVERY_S)


async def _or_stop(work: Coroutine[object, object, None], stop: asyncio.Event) -> None:
    """Do `work` until it is done or `stop` is set."""
    doing = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)
    if not doing.cancelled():
        doing.result()


@contextlib.contextmanager
def _signals(stack: Stack, console: Console) -> Iterator[asyncio.Event]:
    """Set the event at the first signal; at the second, end everything at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard(number: signal.Signals) -> None:
        if number is signal.SIGHUP:
            say_no_more()
        if stop.is_set():
            console.print("ended by force")
            stack.supervisor.kill()
            os._exit(1)
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, heard, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _explained(failed: PartFailedError) -> CommandError:
    return CommandError(f"{failed}. The end of {failed.log}:\n{tail(failed.log)}")


def _first[E: Exception](group: "ExceptionGroup[E]") -> E:
    error = group.exceptions[0]
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
