"""The ready window of a flow: three short Redis lists that say which tasks workers should look at.

Nothing here is a promise. An entry may be lost or stand twice: a lost one is found by the audit and
published again, a duplicate meets a row that is no longer waiting and is dropped. That is why plain
lists do, and nothing is acknowledged.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from redis import ResponseError
from redis.asyncio import Redis

from taskflow_core.queue import keys
from taskflow_core.tasks.states import Priority

_log = structlog.get_logger(__name__)

WINDOW_MAX = 5_000  # entries of one flow's window, whatever its backlog
BUCKET_S = 2  # width of one bucket of arrivals
ARRIVALS_S = 600  # for how long arrivals are remembered
_UUID_CHARS = 36
_CHUNK = 1_000  # entries in one call of the script; Lua's stack holds about 8,000

# publish: append entries and count arrivals, in one step; returns the window's length.
# KEYS high, medium, low, arrivals. ARGV arrivals, bucket, buckets kept, seconds kept,
# number of high and of medium entries, then the entries in the order of the lists.
_PUBLISH = """
local arrived = tonumber(ARGV[1])
if arrived > 0 then
  local bucket = tonumber(ARGV[2])
  if redis.call('HINCRBY', KEYS[4], bucket, arrived) == arrived then
    local kept = tonumber(ARGV[3])
    for _, field in ipairs(redis.call('HKEYS', KEYS[4])) do
      if tonumber(field) <= bucket - kept then redis.call('HDEL', KEYS[4], field) end
    end
  end
  redis.call('EXPIRE', KEYS[4], ARGV[4])
end
local first = 7
local ends = {6 + ARGV[5], 6 + ARGV[5] + ARGV[6], #ARGV}
local length = 0
for list = 1, 3 do
  if ends[list] >= first then
    length = length + redis.call('RPUSH', KEYS[list], unpack(ARGV, first, ends[list]))
  else
    length = length + redis.call('LLEN', KEYS[list])
  end
  first = ends[list] + 1
end
return length
"""

# append: KEYS high, medium, low. ARGV the entries of each, joined by commas; returns the window's length.
_APPEND = """
local length = 0
for list = 1, 3 do
  local some = {}
  for entry in string.gmatch(ARGV[list], '[^,]+') do
    some[#some + 1] = entry
    if #some == 1000 then
      redis.call('RPUSH', KEYS[list], unpack(some))
      some = {}
    end
  end
  if #some > 0 then redis.call('RPUSH', KEYS[list], unpack(some)) end
  length = length + redis.call('LLEN', KEYS[list])
end
return length
"""


class Entry(NamedTuple):
    """One task in a window."""

    task_id: UUID | str
    priority: Priority | int
    attempt: int = 0


class Popped(NamedTuple):
    """Entries as they stood at the front of one list of a window."""

    key: str
    entries: list[str]

    @property
    def task_ids(self) -> list[str]:
        """The ids in the order of the entries; whatever stands there, if an entry is garbage."""
        return [task_id_of(entry) for entry in self.entries]


def task_id_of(entry: str) -> str:
    """Return the task id (canonical text) of an entry as it stands in the list."""
    return entry[:_UUID_CHARS]


def bucket_of(unix_s: float) -> int:
    """Return the number of the arrivals bucket in which a moment falls."""
    return int(unix_s // BUCKET_S)


class Window:
    """Reads and writes windows. Raises `redis.RedisError` when Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._publish = redis.register_script(_PUBLISH)
        self._append = redis.register_script(_APPEND)

    async def publish(self, flow: str, entries: Sequence[Entry], *, arrivals: int = 0) -> int:
        """Append entries, count `arrivals` new tasks, and return how long the window is now."""
        length = 0
        # an empty publish still counts arrivals
        for chunk in batched(entries, _CHUNK) if entries else [()]:
            length = await self._publish_chunk(flow, chunk, arrivals)
            arrivals = 0
        return length

    async def length(self, flow: str) -> int:
        """Return how many entries the window of `flow` holds."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys.ready(flow):
                pipe.llen(key)
            return sum(await pipe.execute())

    async def lengths(self, flows: Sequence[str]) -> dict[str, int]:
        """Return how many entries the windows of many flows hold, in one round trip.

        What is no list is deleted, since it would stop that flow for ever: the audit refills it.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for flow in flows:
                for key in keys.ready(flow):
                    pipe.llen(key)
            answers = iter(await pipe.execute(raise_on_error=False))
        lengths = {}
        for flow in flows:
            three = [next(answers) for _ in keys.ready(flow)]
            if any(isinstance(answer, ResponseError) for answer in three):
                three = await self._mend(flow, three)
            lengths[flow] = sum(three)
        return lengths

    async def append(self, windows: Mapping[str, Mapping[Priority, str]]) -> dict[str, int]:
        """Append entries, joined by commas, to the windows of many flows; return how long these are now.

        Flows are left out of the answer if Redis refused their entries (it is full, or a key is no
        list); which of those stand in the window is not known.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for flow, lists in windows.items():
                entries = [lists.get(priority, "") for priority in Priority]
                await self._append(keys=keys.ready(flow), args=entries, client=pipe)
            answers = await pipe.execute(raise_on_error=False)
        lengths = {}
        for flow, answer in zip(windows, answers, strict=True):
            if isinstance(answer, ResponseError):
                _log.warning("window.refused", flow=flow, error=str(answer))
            else:
                lengths[flow] = answer
        return lengths

    async def task_ids(self, flow: str) -> set[str]:
        """Return the ids of all tasks that stand in the window of `flow`."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in keys.ready(flow):
                pipe.lrange(key, 0, -1)
            return {task_id_of(entry) for listed in await pipe.execute() for entry in listed}

    async def pop(self, flow: str, count: int, *, wait_s: float) -> Popped | None:
        """Take up to `count` entries of the highest priority that has any; wait up to `wait_s`.

        High comes strictly before medium before low: ageing happens where the window is filled.
        """
        popped: Any = await self._redis.blmpop(
            wait_s, len(keys.ready(flow)), *keys.ready(flow), direction="LEFT", count=count
        )
        return Popped(*popped) if popped else None

    async def put_back(self, popped: Popped) -> None:
        """Put entries back where they came from: popped, but not to be run here after all."""
        await self._redis.lpush(popped.key, *reversed(popped.entries))

    async def _publish_chunk(self, flow: str, chunk: Sequence[Entry], arrivals: int) -> int:
        by_priority: list[list[str]] = [[], [], []]
        for entry in chunk:
            by_priority[entry.priority].append(_text(entry))
        high, medium, low = by_priority
        length: int = await self._publish(
            keys=[*keys.ready(flow), keys.arrivals(flow)],
            args=[
                arrivals,
                bucket_of(time.time()),
                ARRIVALS_S // BUCKET_S,
                ARRIVALS_S + BUCKET_S,
                len(high),
                len(medium),
                *high,
                *medium,
                *low,
            ],
        )
        return length

    async def _mend(self, flow: str, answers: Sequence[int | ResponseError]) -> list[int]:
        """Delete what stands where lists should and is none. Raises any other error."""
        lengths = []
        for key, answer in zip(keys.ready(flow), answers, strict=True):
            if isinstance(answer, int):
                lengths.append(answer)
            elif str(answer).startswith("WRONGTYPE"):
                _log.warning("window.mended", flow=flow, key=key)
                await self._redis.delete(key)
                lengths.append(0)
            else:
                raise answer
        return lengths


def _text(entry: Entry) -> str:
    return f"{entry.task_id}:{entry.attempt}:{int(time.time() * 1000)}"
