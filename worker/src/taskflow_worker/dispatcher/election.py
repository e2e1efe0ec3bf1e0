"""Election: one of the replicas leads, by a lease; its duties run while it does."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from taskflow_core.db.leases import LeaseHolder
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.duty import Duty, perform
from taskflow_worker.dispatcher.timings import Timings

_log = structlog.get_logger(__name__)

_STUCK_S = 30.0

type Office = Callable[[], AbstractAsyncContextManager[list[Duty]]]


class Election:
    """Stands for the lease until it is told to stop. `office` gives the duties of one term of leading."""

    def __init__(
        self,
        lease: LeaseHolder,
        office: Office,
        *,
        metrics: DispatcherMetrics,
        timings: Timings,
    ) -> None:
        self._lease, self._office = lease, office
        self._metrics, self._timings = metrics, timings
        self._term: _Term | None = None
        self._turned_at = time.monotonic()
        self._out_of_reach = False

    def alive(self) -> bool:
        """Tell whether this loop turns; whether PostgreSQL answers is another question."""
        return time.monotonic() - self._turned_at < _STUCK_S

    async def run(self, stop: asyncio.Event) -> None:
        """Stand until `stop`; then end the present round and give the lease back."""
        standing = asyncio.create_task(self._stand())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({standing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (standing, stopped):
            task.cancel()
        await asyncio.gather(stopped, return_exceptions=True)
        try:
            await standing
        except asyncio.CancelledError:
            pass
        finally:
            await self._step_down()
            await self._release()

    async def _stand(self) -> None:
        while True:
            self._turned_at = time.monotonic()
            await self._ask()
            if self._lease.leads and self._term is None:
                await self._take_over()
            elif not self._lease.leads and self._term is not None:
                await self._step_down()
            leads = self._lease.leads
            await asyncio.sleep(self._timings.renew_s if leads else self._timings.follow_s)

    async def _ask(self) -> None:
        try:
            await self._lease.acquire()
        except Exception as error:  # noqa: BLE001 - whatever it was: not to stand is not to lead
            if not self._out_of_reach:
                _log.warning("dispatcher.lease_out_of_reach", error=type(error).__name__)
            self._out_of_reach = True
        else:
            self._out_of_reach = False

    async def _take_over(self) -> None:
        _log.info("dispatcher.leads", term=self._lease.term)
        self._metrics.leader.set(1)
        self._term = await _Term.begin(self._office, self._timings, self._metrics)

    async def _step_down(self) -> None:
        if self._term is None:
            return
        await self._term.end(self._timings.grace_s)
        self._term = None
        self._metrics.leader.set(0)
        # a follower's numbers would stand beside the leader's, and contradict them
        for gauge in (self._metrics.waiting, self._metrics.oldest_wait, self._metrics.running):
            gauge.clear()
        _log.info("dispatcher.follows")

    async def _release(self) -> None:
        try:
            await self._lease.release(within_s=self._timings.release_s)
        except Exception as error:  # noqa: BLE001 - it runs out by itself
            _log.warning("dispatcher.release_failed", error=type(error).__name__)


class _Term:
    """The duties of one time of leading, each in its loop."""

    def __init__(self, halt: asyncio.Event, resources: AsyncExitStack) -> None:
        self._halt, self._resources = halt, resources
        self._loops: set[asyncio.Task[None]] = set()

    @classmethod
    async def begin(cls, office: Office, timings: Timings, metrics: DispatcherMetrics) -> "_Term":
        resources = AsyncExitStack()
        term = cls(asyncio.Event(), resources)
        for duty in await resources.enter_async_context(office()):
            loop = perform(duty, term._halt, timings, metrics.failures)
            term._loops.add(asyncio.create_task(loop, name=duty.name))
        return term

    async def end(self, grace_s: float) -> None:
        """Let each loop finish its step, for a while; then cut it off. May be done twice."""
        self._halt.set()
        if self._loops:
            await asyncio.wait(self._loops, timeout=grace_s)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._resources.aclose()
