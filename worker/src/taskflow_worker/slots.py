"""How many tasks may run at once, and who waits for room."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Slots:
    """Taken by handlers that run (`busy`) and by pops and claims on their way.

    `promised` are kept for attempts that are ours already and wait to be adopted: without that, pops
    that wait for something to come would hold all slots of an idle worker for ever.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.busy = 0
        self.promised = 0
        self._asked = 0
        self._room = asyncio.Event()

    @property
    def free(self) -> int:
        """How many more tasks may be asked for."""
        return self.untaken - self.promised

    @property
    def untaken(self) -> int:
        """How many attempts may be adopted."""
        return self.total - self.busy - self._asked

    @contextmanager
    def reserve(self, count: int) -> Iterator[None]:
        """Keep slots for tasks that are being asked for; each that starts then takes its own."""
        self._asked += count
        try:
            yield
        finally:
            self._asked -= count
            self.wake()

    def promise(self, count: int) -> None:
        """Keep slots for attempts that wait to be adopted, instead of those kept so far."""
        self.promised = count
        self.wake()

    def leave(self) -> None:
        """Give back the slot of a handler that has ended."""
        self.busy -= 1
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits for room look again."""
        if not self._room.is_set():
            self._room.set()

    async def changed(self) -> None:
        """Wait until there may be room."""
        self._room.clear()
        await self._room.wait()
