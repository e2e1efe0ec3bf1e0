"""Running attempts: started at once, cut short when they must be, ended exactly once.

Nothing a task needs crosses an `await` unless its handler does: `asyncio.Task(eager_start=True)` runs the
handler at once, and only one that really waits meets the event loop.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial

import structlog

from taskflow_worker.attempt import RETURNED, Attempt, Ending, Outcome, Stop
from taskflow_worker.books import Books
from taskflow_worker.context import Context
from taskflow_worker.errors import Fatal, InvalidPayload, ResultRefused, Retry, Stopped
from taskflow_worker.plans import Plan
from taskflow_worker.tempo import Tempo
from taskflow_worker.threads import ThreadGoesOn
from taskflow_worker.verdict import interrupted, unknown_handler, verdict

_log = structlog.get_logger(__name__)

# what handlers raise on purpose: a fact about the task, not a fault to be traced
_EXPECTED = (Retry, Fatal, Stopped, InvalidPayload, ResultRefused, asyncio.CancelledError)


class Runner:
    """Runs what was claimed. Each attempt takes a slot for as long as its handler really runs."""

    def __init__(self, plans: Mapping[str, Plan], books: Books, *, flow: str, tempo: Tempo) -> None:
        self._plans, self._flow, self._tempo = plans, flow, tempo
        self._slots, self._ledger, self._vitals = books.slots, books.ledger, books.vitals
        self._progress, self._completions = books.progress, books.completions
        self._loop = asyncio.get_running_loop()
        self.stopping = False

    def start(self, attempts: list[Attempt]) -> None:
        """Start attempts that the ledger holds; a worker that stops hands them back."""
        if self.stopping:
            for attempt in attempts:
                self._completions.add(attempt, RETURNED)
            return
        self._vitals.claimed(attempts)
        for attempt in attempts:
            self._launch(attempt)

    def request_cancel(self, attempt: Attempt) -> None:
        """Ask a running attempt to stop; after the grace period it is cancelled as a task.

        A handler without a context cannot know, so it has no grace. One in a thread cannot be cancelled:
        the state says CANCELLED when it has really stopped.
        """
        if attempt.cancel_requested or not attempt.runs:
            return
        attempt.cancel_requested = True
        grace_s = 0.0
        if attempt.context is not None:
            attempt.context.cancelled.set()
            grace_s = self._tempo.cancel_grace_s
        if self._plans[attempt.handler].declaration.is_async:
            cut = partial(self.cut, attempt, Stop.CANCEL)
            attempt.grace = self._loop.call_later(grace_s, cut)

    def cut(self, attempt: Attempt, stop: Stop) -> None:
        """Cancel the handler of a running attempt, once."""
        if attempt.task is not None and attempt.runs and attempt.stop is None:
            attempt.stop = stop
            if attempt.context is not None:
                attempt.context.cancelled.set()
            attempt.task.cancel()

    def lose(self, attempt: Attempt) -> None:
        """Stop an attempt that belongs to another now: nothing it does is written any more."""
        if attempt.runs:
            self._ledger.settle(attempt)
            self._ledger.haunt(attempt)
            if attempt.stop is None:
                self.cut(attempt, Stop.LOST)
            attempt.stop = Stop.LOST

    def lose_all(self) -> None:
        """Stop everything: the session is over. What has ended already may still be taken."""
        running = self._ledger.running()
        for attempt in running:
            self.lose(attempt)
        if running:
            _log.warning("worker.attempts_lost", tasks=len(running))

    def give_up(self, attempt: Attempt) -> None:
        """End an interrupted attempt whose handler does not stop."""
        self._ledger.haunt(attempt)
        self._end(attempt, interrupted(attempt))

    def hand_back_unstarted(self) -> None:
        """Hand back what was claimed by a fetcher that was cancelled before it could start it."""
        for attempt in self._ledger.held:
            if attempt.task is None and attempt.ending is None:
                self._completions.add(attempt, RETURNED)

    def _launch(self, attempt: Attempt) -> None:
        self._slots.busy += 1
        attempt.started = time.monotonic()
        task = asyncio.Task(self._run(attempt), loop=self._loop, eager_start=True)
        if task.done():
            return
        attempt.task = task
        timeout_s = attempt.timeout_s
        if timeout_s is None and attempt.handler in self._plans:
            timeout_s = self._plans[attempt.handler].declaration.options.timeout_s
        if timeout_s is not None:
            cut = partial(self.cut, attempt, Stop.TIMEOUT)
            attempt.deadline = self._loop.call_later(timeout_s, cut)

    async def _run(self, attempt: Attempt) -> None:
        plan = self._plans.get(attempt.handler)
        if plan is None:
            self._over(attempt, unknown_handler(attempt))
            return
        if plan.declaration.context is not None:
            note = partial(self._progress.note, attempt)
            attempt.context = Context.of(attempt, self._flow, note)
        try:
            ending = Ending(Outcome.COMPLETED, await plan.run(attempt))
        except BaseException as error:  # noqa: BLE001 - not even SystemExit may end the worker
            self._report(attempt, error)
            ending = verdict(attempt, error, plan.declaration.options.policy)
            if isinstance(error, ThreadGoesOn):
                self._ledger.haunt(attempt)
                self._end(attempt, ending)
                error.future.add_done_callback(lambda _: self._gone(attempt))
                return
        self._over(attempt, ending)

    def _over(self, attempt: Attempt, ending: Ending) -> None:
        self._end(attempt, ending)
        self._gone(attempt)

    def _end(self, attempt: Attempt, ending: Ending) -> None:
        """Decide how an attempt ends, unless that was decided without it."""
        attempt.disarm()
        if attempt.ending is None:
            self._vitals.ended(attempt)
            if attempt.stop is not Stop.LOST:
                self._completions.add(attempt, ending)

    def _gone(self, attempt: Attempt) -> None:
        """Note that the handler has really ended."""
        self._ledger.gone(attempt)
        self._slots.leave()

    def _report(self, attempt: Attempt, error: BaseException) -> None:
        facts = {
            "task_id": attempt.task_id,
            "attempt": attempt.number,
            "handler": attempt.handler,
            "error": type(error).__qualname__,
        }
        if attempt.stop is not None:
            _log.info("worker.attempt_stopped", stop=attempt.stop.value, **facts)
        elif isinstance(error, _EXPECTED):
            _log.info("worker.attempt_ended", **facts)
        else:
            _log.warning("worker.attempt_failed", exc_info=error, **facts)
