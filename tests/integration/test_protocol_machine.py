"""The queue protocol under arbitrary histories, with the real statements, duties and servers.

Hypothesis makes up what happens: tasks are created, popped, claimed, completed, retried; pushes and
answers are lost, workers die or are taken for dead, Redis forgets, the dispatcher dies half-way. Whatever
happened: an attempt is completed only while it is the current one, and once; and when the faults stop,
everything that was accepted is completed. The last tests break one rule each, and must be caught.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from taskflow_core.db.database import Database
from taskflow_core.db.leases import LeaseHolder
from taskflow_core.db.link import Link, array
from taskflow_core.ids import new_id
from taskflow_core.queue import keys, statements, upkeep
from taskflow_core.queue.window import Entry, Window
from taskflow_core.redis import connect
from taskflow_core.settings import DatabaseSettings, RedisSettings
from taskflow_core.tasks.create import NewTask, create_tasks
from taskflow_core.telemetry.metrics import DispatcherMetrics
from taskflow_worker.dispatcher.audit import Audit
from taskflow_worker.dispatcher.duty import LeaderLink
from taskflow_worker.dispatcher.sessions import Sweep
from taskflow_worker.dispatcher.timings import Timings
from taskflow_worker.dispatcher.top_up import TopUp

_FENCE = "and t.attempt = d.attempt and t.worker + 0 = $1::bigint"
_ROUNDS_TO_THE_END = 12  # without faults; each heals at least one step of every task

_flows = (f"flow-{n}" for n in itertools.count())
_workers = st.integers(0, 1)
_CLAIMS = ("heard", "answer lost", "later")


@dataclass
class Worker:
    """What a worker process knows."""

    session: int
    popped: list[str] = field(default_factory=list)
    running: dict[str, int] = field(default_factory=dict)  # id → attempt

    def forget(self, session: int) -> None:
        """Begin anew, as another process or under a new session."""
        self.session = session
        self.popped.clear()
        self.running.clear()


class World:
    """The servers and the dispatcher; kept from example to example, each has a flow of its own."""

    def __init__(
        self, runner: asyncio.Runner, database: Database, link: Link, redis: Redis
    ) -> None:
        self._runner = runner
        self.database, self.link, self.redis = database, link, redis
        self.window = Window(redis)

    async def lead(self) -> None:
        """Take the lease and set up the duties."""
        lease = LeaseHolder(self.link, "dispatcher", "test", ttl_s=600.0)
        await lease.acquire()
        leader = LeaderLink(lease, self.link)
        metrics, timings = DispatcherMetrics(CollectorRegistry()), Timings()
        self.top_up = TopUp(leader, self.window, slots={}, metrics=metrics, timings=timings)
        self.audit = Audit(leader, self.window, metrics=metrics, timings=timings)
        self.sweep = Sweep(leader, metrics=metrics, timings=timings)

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(coroutine)


@contextmanager
def world(database: DatabaseSettings, redis: RedisSettings) -> Iterator[World]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def begin() -> World:
            pool = await stack.enter_async_context(Database.open(database, application_name="test"))
            link = Link(database, application_name="test")
            stack.push_async_callback(link.close)
            client = connect(redis, blocking_s=1.0)
            stack.push_async_callback(client.aclose)
            made = World(runner, pool, link, client)
            await made.lead()
            return made

        try:
            yield runner.run(begin())
        finally:
            runner.run(stack.aclose())


class Protocol(RuleBasedStateMachine):
    """One flow, two workers, one dispatcher."""

    world: ClassVar[World]
    complete_sql = statements.COMPLETE
    audits = adopts = sweeps = True

    def __init__(self) -> None:
        super().__init__()
        self.flow = next(_flows)
        self.accepted: list[str] = []
        self.completed: set[str] = set()
        self.stale: list[str] = []  # ended by an attempt that was not the current one
        self.workers = [Worker(self.run(self._open_session())) for _ in range(2)]

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.world.run(coroutine)

    @initialize(claims=st.sampled_from(_CLAIMS))
    def begin_under_way(self, claims: str) -> None:
        """Each history leaves some kinds of steps out altogether; these none can do without."""
        self.run(self._create(3, "pushed"))
        self.take(0, 2, claims)

    # ---- clients

    @precondition(lambda self: len(self.accepted) < 6)
    @rule(count=st.integers(1, 2), way=st.sampled_from(["pushed", "push lost", "backlog"]))
    def create(self, count: int, way: str) -> None:
        self.run(self._create(count, way))

    # ---- workers

    @rule(who=_workers, count=st.integers(1, 3), claims=st.sampled_from(_CLAIMS))
    def take(self, who: int, count: int, claims: str) -> None:
        worker = self.workers[who]
        self.run(self._pop(worker, count))
        if claims != "later":
            self.run(self._claim(worker, answer_lost=claims == "answer lost"))

    @precondition(lambda self: any(worker.popped for worker in self.workers))
    @rule(claims=st.sampled_from(_CLAIMS[:2]))
    def claim(self, claims: str) -> None:
        for worker in self.workers:
            self.run(self._claim(worker, answer_lost=claims == "answer lost"))

    @rule(who=_workers)
    def adopt(self, who: int) -> None:
        self.run(self._adopt(self.workers[who]))

    @precondition(lambda self: any(worker.running for worker in self.workers))
    @rule(
        who=_workers,
        outcome=st.sampled_from(["COMPLETED", "RETRY", "RETURN"]),
        answer_lost=st.booleans(),
    )
    def end(self, who: int, outcome: str, answer_lost: bool) -> None:  # noqa: FBT001 - by name
        worker = self.workers[who] if self.workers[who].running else self.workers[1 - who]
        self.run(self._end(worker, outcome, answer_lost=answer_lost))

    @rule(who=_workers)
    def beat(self, who: int) -> None:
        self.run(self._beat(self.workers[who]))

    @precondition(lambda self: any(worker.popped or worker.running for worker in self.workers))
    @rule(who=_workers)
    def kill(self, who: int) -> None:
        self.run(self._kill(self.workers[who]))

    # ---- the dispatcher, and the rest of the world

    @precondition(lambda self: any(worker.running for worker in self.workers))
    @rule(who=_workers)
    def take_for_dead(self, who: int) -> None:
        """The worker goes on and does not know."""
        worker = self.workers[who] if self.workers[who].running else self.workers[1 - who]
        self.run(self._silence(worker.session))
        self.run(self._expire())
        self.run(self._sweep())

    @rule()
    def sweep(self) -> None:
        self.run(self._sweep())

    @rule(dies=st.booleans())
    def top_up(self, dies: bool) -> None:  # noqa: FBT001 - drawn by name
        self.run(self._top_up_and_die() if dies else self._top_up())

    @rule()
    def audit(self) -> None:
        self.run(self._audit())

    @rule()
    def flush(self) -> None:
        self.run(self._flush())

    # ---- what must hold

    @invariant()
    def no_stale_attempt_ends_a_task(self) -> None:
        assert not self.stale, f"a stale attempt ended {self.stale}"

    @invariant()
    def what_is_completed_stays_so(self) -> None:
        rows = self.run(
            self.world.link.fetch(
                "select t.id::text, t.status,"
                " (select count(*) from task_events e"
                "   where e.task_id = t.id and e.type = 'task.completed')"
                " from tasks t where t.flow = $1",
                self.flow,
            )
        )
        assert {task for task, *_ in rows} == set(self.accepted)
        for task, status, completions in rows:
            expected = ("COMPLETED", 1) if task in self.completed else (status, 0)
            assert (status, completions) == expected, (
                f"{task} is {status}, completed {completions} x"
            )

    def teardown(self) -> None:
        """No more faults: everything that was accepted must be completed."""
        try:
            if self.stale:
                return  # it has failed, and what follows from that is of no interest
            for _ in range(_ROUNDS_TO_THE_END):
                self.run(self._round_without_faults())
                if len(self.completed) == len(self.accepted):
                    break
            self.what_is_completed_stays_so()
            lost = set(self.accepted) - set(self.completed)
            assert not lost, f"lost: {sorted(lost)}"
        finally:
            self.run(self._clean_up())

    # ---- how it is done

    async def _open_session(self) -> int:
        rows = await self.world.link.fetch(statements.OPEN_SESSION, self.flow, "test")
        return int(rows[0][0])

    async def _create(self, count: int, way: str) -> None:
        tasks = [
            NewTask(
                id=new_id(),
                owner_id=new_id(),
                title="t",
                flow=self.flow,
                handler="echo",
                publish=way != "backlog",
                max_attempts=1_000,
            )
            for _ in range(count)
        ]
        async with self.world.database.connection() as connection:
            await create_tasks(connection, tasks, actor="test")
        self.accepted += [str(task.id) for task in tasks]
        if way == "pushed":
            entries = [Entry(task.id, task.priority) for task in tasks]
            await self.world.window.publish(self.flow, entries)

    async def _pop(self, worker: Worker, count: int) -> None:
        if not await self.world.window.length(self.flow):
            return  # rather than wait for nothing
        popped = await self.world.window.pop(self.flow, count, wait_s=0.01)
        worker.popped += popped.task_ids if popped else ()

    async def _claim(self, worker: Worker, *, answer_lost: bool = False) -> None:
        ids, worker.popped = worker.popped, []
        if not ids:
            return
        rows = await self.world.link.fetch(statements.CLAIM, worker.session, array(ids), "{}")
        if not answer_lost:
            worker.running |= {ids[row[0] - 1]: row[1] for row in rows}

    async def _adopt(self, worker: Worker) -> None:
        if self.adopts:
            worker.running |= await self._attempts_of(worker.session)

    async def _end(self, worker: Worker, outcome: str, *, answer_lost: bool = False) -> None:
        """End all that runs; if the answer is lost, a later call repeats it."""
        ids = list(worker.running)
        if not ids:
            return
        current = await self._attempts_of(worker.session)
        rows = await self.world.link.fetch(
            self.complete_sql,
            worker.session,
            array(ids),
            array([str(attempt) for attempt in worker.running.values()]),
            array([outcome] * len(ids)),
            array(["0"] * len(ids)),
            "[" + ",".join(["null"] * len(ids)) + "]",
        )
        for (n,) in rows:
            task = ids[n - 1]
            if current.get(task) != worker.running[task]:
                self.stale.append(task)
            if outcome == "COMPLETED":
                self.completed.add(task)
        if not answer_lost:
            worker.running.clear()

    async def _attempts_of(self, session: int) -> dict[str, int]:
        """Return what a session really holds: id → attempt."""
        rows = await self.world.link.fetch(statements.HELD, session)
        return {task: attempt for task, attempt, _ in rows}

    async def _beat(self, worker: Worker) -> None:
        if not await self.world.link.fetch(statements.BEAT, worker.session):
            worker.forget(await self._open_session())

    async def _kill(self, worker: Worker) -> None:
        await self._silence(worker.session)
        worker.forget(await self._open_session())

    async def _silence(self, session: int) -> None:
        await self.world.link.fetch(
            "update worker_sessions set heartbeat_at = now() - interval '1 minute' where id = $1",
            session,
        )

    async def _expire(self) -> None:
        ((now,),) = await self.world.link.fetch(upkeep.CONTACT)
        await self.world.link.fetch(upkeep.EXPIRE, now - 15.0)

    async def _sweep(self) -> None:
        if self.sweeps:
            await self.world.sweep.step()

    async def _top_up(self) -> None:
        while await self.world.top_up.step() == 0:
            pass

    async def _top_up_and_die(self) -> None:
        """Between the commit and the push."""
        await self.world.link.fetch(upkeep.TOP_UP, [self.flow], [3])

    async def _audit(self) -> None:
        if self.audits:
            await self.world.link.fetch(
                "update tasks set published_at = published_at - interval '6 s'"
                " where flow = $1 and waiting and published_at > now() - interval '5 s'",
                self.flow,
            )
            await self.world.audit.step()

    async def _flush(self) -> None:
        await self.world.redis.delete(*keys.ready(self.flow))

    async def _round_without_faults(self) -> None:
        await self._expire()
        await self._sweep()
        for _ in range(2):
            await self._audit()
        await self._top_up()
        for worker in self.workers:
            await self._beat(worker)
            await self._adopt(worker)
            await self._pop(worker, 100)
            await self._claim(worker)
            await self._end(worker, "COMPLETED")

    async def _clean_up(self) -> None:
        """Leave nothing to the next example, also after a failed one."""
        await self.world.link.fetch(
            "update tasks set waiting = null, worker = null, status = 'CANCELLED'"
            " where flow = $1 and status in ('PENDING', 'IN_PROGRESS')",
            self.flow,
        )
        await self._flush()


class WithoutFence(Protocol):
    complete_sql = statements.COMPLETE.replace(_FENCE, "")


class WithoutAudit(Protocol):
    audits = False


class WithoutAdoption(Protocol):
    adopts = False


class WithoutSweep(Protocol):
    sweeps = False


_SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)


def explore(
    machine: type[Protocol],
    database: DatabaseSettings,
    redis: RedisSettings,
    how: settings,
) -> None:
    with world(database, redis) as machine.world:
        run_state_machine_as_test(machine, settings=how)


def test_nothing_is_lost_and_no_stale_attempt_completes(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> None:
    explore(Protocol, database_settings, redis_settings, settings(_SETTINGS, max_examples=150))


@pytest.mark.parametrize(
    ("machine", "caught_by"),
    [
        (WithoutFence, "a stale attempt ended"),
        (WithoutAudit, "lost"),
        (WithoutAdoption, "lost"),
        (WithoutSweep, "lost"),
    ],
)
def test_a_protocol_without_one_of_its_rules_is_caught(
    machine: type[Protocol],
    caught_by: str,
    database_settings: DatabaseSettings,
    redis_settings: RedisSettings,
) -> None:
    assert _FENCE in statements.COMPLETE
    quick = settings(_SETTINGS, max_examples=200, phases=[Phase.generate])

    with pytest.raises(AssertionError, match=caught_by):
        explore(machine, database_settings, redis_settings, quick)
