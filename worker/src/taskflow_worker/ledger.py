"""Which attempts this process answers for, so that no task ever runs twice in it.

PostgreSQL may list a row as ours that we do not hold, because (a) the answer of the claim is on its way,
(b) the answer of its completion came while PostgreSQL was asked, or (c) the answer of the claim was lost.
Only (c) may be adopted. So claims on their way are known here by their ids, and while somebody looks,
what is settled meanwhile is remembered. A row that is neither held, nor being claimed, nor settled since
the question was sent, can only be (c): its claim had committed before the answer was made, each claim
whose answer arrived was held from that moment on, and what was settled before would not be listed.

Attempt numbers grow within a session (only a stopping worker hands back, and claims nothing after), so
`(id, attempt, session)` is never the same twice.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from taskflow_worker.attempt import Attempt


class Ledger:
    """Attempts held (running, or ended and not yet settled), and ghosts.

    A ghost is an attempt that was given up while its handler would not stop: a thread cannot be
    cancelled, and a coroutine may refuse. Its task must not be claimed here until it is gone.
    """

    def __init__(self) -> None:
        self._held: dict[str, Attempt] = {}
        self._ghosts: dict[str, Attempt] = {}
        self._claims: list[Collection[str]] = []
        self._looks: list[set[str]] = []

    @property
    def held(self) -> Collection[Attempt]:
        """What this process answers for."""
        return self._held.values()

    @property
    def ghosts(self) -> Collection[Attempt]:
        """What still runs here although another may run it already."""
        return self._ghosts.values()

    @property
    def claiming(self) -> bool:
        """Whether the answer of a claim is on its way."""
        return bool(self._claims)

    def running(self) -> list[Attempt]:
        """Return the attempts whose handlers run."""
        return [attempt for attempt in self._held.values() if attempt.runs]

    def find(self, task_id: str) -> Attempt | None:
        """Return what is held of a task."""
        return self._held.get(task_id)

    def haunted(self, task_id: str) -> bool:
        """Tell whether an earlier attempt of a task still runs here."""
        return task_id in self._ghosts

    def hold(self, attempt: Attempt) -> None:
        """Take responsibility for an attempt that was just claimed."""
        self._held[attempt.task_id] = attempt

    def settle(self, attempt: Attempt) -> None:
        """Let go of an attempt: PostgreSQL has its ending, or has given it to another."""
        # a retry may have been claimed again before the answer about its last attempt was read
        if self._held.get(attempt.task_id) is attempt:
            del self._held[attempt.task_id]
        for settled in self._looks:
            settled.add(attempt.task_id)

    def haunt(self, attempt: Attempt) -> None:
        """Note that the handler of an attempt goes on although the attempt is over."""
        self._ghosts[attempt.task_id] = attempt

    def gone(self, attempt: Attempt) -> None:
        """Note that a handler has really ended."""
        if self._ghosts.get(attempt.task_id) is attempt:
            del self._ghosts[attempt.task_id]

    @contextmanager
    def claim(self, task_ids: Collection[str]) -> Iterator[None]:
        """Say which ids a claim asks for, until its answer is held."""
        self._claims.append(task_ids)
        try:
            yield
        finally:
            # by identity: two claims of the same ids are two claims
            self._claims[:] = [other for other in self._claims if other is not task_ids]

    @contextmanager
    def look(self) -> Iterator[set[str]]:
        """Remember what is settled from now on, for `strangers`."""
        settled: set[str] = set()
        self._looks.append(settled)
        try:
            yield settled
        finally:
            self._looks[:] = [other for other in self._looks if other is not settled]

    def strangers(
        self,
        task_ids: Iterable[str],
        settled: Collection[str],
        *,
        mine: Collection[str] | None = None,
    ) -> list[str]:
        """Return those ids, listed as ours, that can only be claims whose answer was lost.

        `settled` comes from the `look` that began before the list was asked for. `mine` is the claim
        that asks on its own behalf.
        """
        others = [ids for ids in self._claims if ids is not mine]
        return [
            task_id
            for task_id in task_ids
            if task_id not in self._held
            and task_id not in settled
            and not any(task_id in ids for ids in others)
        ]
