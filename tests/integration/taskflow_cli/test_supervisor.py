"""The supervisor with small processes of any behaviour."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from taskflow_cli.local.children import spawn
from taskflow_cli.local.supervisor import Backoff, Part, PartFailedError, Stage, Supervisor
from tests.support.waiting import eventually

# a process that says it is there, and stops when it is asked to
_WELL = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(sys.argv[1]).touch()
while True: time.sleep(60)
"""
_DEAF = _WELL.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
_WITH_CHILD = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""
_PARENT = """
import pathlib, sys
from taskflow_cli.local.children import spawn
code, mark, log = sys.argv[1:]
print(spawn([sys.executable, '-c', code, mark], log=pathlib.Path(log)).pid, flush=True)
sys.stdin.read()
"""


class Floor:
    """Where the supervised processes of a test live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.changes = 0
        self.supervisor = Supervisor(
            announce=self.said.append,
            changed=self._changed,
            backoff=Backoff(initial_s=0.05, factor=2, max_s=0.4, well_s=60),
        )

    def part(
        self,
        name: str,
        code: str = _WELL,
        *,
        stage: Stage = Stage.WORKER,
        ready: Callable[[float], Awaitable[bool]] | None = None,
        ready_s: float = 30.0,
    ) -> Part:
        mark = self.folder / name

        def start() -> subprocess.Popen[bytes]:
            mark.unlink(missing_ok=True)
            return spawn([sys.executable, "-c", code, str(mark)], log=self.folder / f"{name}.log")

        async def there(_started_at: float) -> bool:
            return mark.exists()

        log = self.folder / f"{name}.log"
        return Part(name, stage, start, ready or there, log, stop_s=2, ready_s=ready_s)

    def pid(self, name: str) -> int:
        return self.supervisor.running[name].process.pid

    def _changed(self) -> None:
        self.changes += 1


@pytest.fixture
def floor(tmp_path: Path) -> Floor:
    return Floor(tmp_path)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    async def look() -> bool:
        return alive(pid)

    await eventually(look, lambda is_alive: not is_alive, what=f"the end of {pid}")


async def test_a_part_is_started_once_it_does_its_work_and_stopped(floor: Floor) -> None:
    await floor.supervisor.start(floor.part("a"))
    pid = floor.pid("a")
    state = floor.supervisor.running["a"].state()

    await floor.supervisor.stop()

    assert (state.pid, state.ready, state.restarts) == (pid, True, 0)
    assert not alive(pid)
    assert floor.said == []


async def test_a_crash_is_told_and_the_part_is_started_again(floor: Floor) -> None:
    await floor.supervisor.start(floor.part("a"))
    first = floor.pid("a")
    os.kill(first, signal.SIGKILL)

    async def look() -> list[str]:
        return floor.said

    await eventually(look, lambda said: "a runs again" in said, what="the restart")
    running = floor.supervisor.running["a"]
    await floor.supervisor.stop()

    assert floor.said[0].startswith("a ended after ")
    assert "killed by SIGKILL" in floor.said[0]
    assert "is started again in 50 ms" in floor.said[1]
    assert (running.restarts, running.part.name) == (1, "a")
    assert running.process.pid != first


async def test_pauses_grow_while_it_goes_on_crashing(floor: Floor) -> None:
    part = floor.part("a", "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()")
    await floor.supervisor.start(part)

    async def pauses() -> list[str]:
        return [said.split(" in ")[1].split(" (")[0] for said in floor.said if " in " in said]

    seen = await eventually(pauses, lambda found: len(found) >= 5, what="five restarts")
    await floor.supervisor.stop()

    assert seen[:5] == ["50 ms", "100 ms", "200 ms", "400 ms", "400 ms"]


async def test_a_part_that_ends_while_it_starts_again_is_told_with_its_last_words(
    floor: Floor,
) -> None:
    code = _WELL.replace("pathlib.Path(sys.argv[1]).touch()", "").replace(
        "while",
        "if pathlib.Path(sys.argv[1] + '.bad').exists(): sys.exit('no disk')\n"
        "pathlib.Path(sys.argv[1]).touch()\nwhile",
    )
    await floor.supervisor.start(floor.part("a", code))
    (floor.folder / "a.bad").touch()
    os.kill(floor.pid("a"), signal.SIGKILL)

    async def look() -> str:
        return "\n".join(floor.said)

    await eventually(look, lambda said: said.count("no disk") >= 2, what="two failed starts")
    (floor.folder / "a.bad").unlink()
    await eventually(look, lambda said: "a runs again" in said, what="the restart")
    await floor.supervisor.stop()

    assert "a ended while starting (exit code 1): no disk" in floor.said
    assert floor.supervisor.running["a"].restarts >= 3


async def test_a_part_that_cannot_start_fails_the_start(floor: Floor) -> None:
    with pytest.raises(PartFailedError, match=r"a ended while starting \(exit code 3\)"):
        await floor.supervisor.start(floor.part("a", "raise SystemExit(3)"))


async def test_a_part_that_never_gets_ready_fails_the_start(floor: Floor) -> None:
    async def never(_started_at: float) -> bool:
        raise ConnectionError

    with pytest.raises(PartFailedError, match="a was not ready within 200 ms"):
        await floor.supervisor.start(floor.part("a", ready=never, ready_s=0.2))

    pid = floor.pid("a")
    await floor.supervisor.stop()
    assert not alive(pid)


async def test_a_program_that_is_not_there_fails_the_start(floor: Floor) -> None:
    def start() -> subprocess.Popen[bytes]:
        return spawn(["/no/such/program"], log=floor.folder / "a.log")

    async def ready(_started_at: float) -> bool:
        return True

    part = Part("a", Stage.API, start, ready, floor.folder / "a.log")
    with pytest.raises(PartFailedError, match=r"a cannot be started: .*No such file"):
        await floor.supervisor.start(part)
    await floor.supervisor.stop()


async def test_parts_end_in_order_servers_last(floor: Floor) -> None:
    code = _WELL.replace(
        "sys.exit(0)", "(open(sys.argv[1] + '.end', 'w').write(str(time.time())), sys.exit(0))"
    )
    for name, stage in (
        ("server", Stage.SERVER),
        ("api", Stage.API),
        ("worker", Stage.WORKER),
        ("dispatcher", Stage.DISPATCHER),
    ):
        await floor.supervisor.start(floor.part(name, code, stage=stage))

    await floor.supervisor.stop()

    ends = sorted(floor.folder.glob("*.end"), key=lambda file: float(file.read_text()))
    assert [end.stem for end in ends] == ["api", "worker", "dispatcher", "server"]


async def test_a_part_that_does_not_listen_is_ended_by_force(floor: Floor) -> None:
    await floor.supervisor.start(floor.part("deaf", _DEAF))
    pid, began = floor.pid("deaf"), time.monotonic()

    await floor.supervisor.stop()

    assert not alive(pid)
    assert 2 <= time.monotonic() - began < 8


async def test_what_a_part_started_and_left_ends_with_it(floor: Floor) -> None:
    await floor.supervisor.start(floor.part("a", _WITH_CHILD))
    child = int((floor.folder / "a").read_text())
    assert alive(child)

    await floor.supervisor.stop()

    await gone(child)


async def test_kill_ends_everything_at_once(floor: Floor) -> None:
    await floor.supervisor.start(floor.part("deaf", _DEAF))
    await floor.supervisor.start(floor.part("well"))
    pids = [floor.pid("deaf"), floor.pid("well")]

    floor.supervisor.kill()

    for pid in pids:
        await gone(pid)
    await floor.supervisor.stop()


async def test_stopping_while_a_part_is_between_crash_and_start_starts_nothing(
    floor: Floor,
) -> None:
    supervisor = Supervisor(
        announce=floor.said.append, changed=lambda: None, backoff=Backoff(initial_s=60, max_s=60)
    )
    await supervisor.start(floor.part("a"))
    os.kill(supervisor.running["a"].process.pid, signal.SIGKILL)

    async def look() -> int:
        return len(floor.said)

    await eventually(look, lambda said: said == 2, what="the announcement")
    async with asyncio.timeout(5):
        await supervisor.stop()

    assert supervisor.running["a"].restarts == 0


async def test_parts_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - it is as short as it gets
        [sys.executable, "-c", _PARENT, _WELL, tmp_path / "mark", tmp_path / "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()

    await gone(pid)
