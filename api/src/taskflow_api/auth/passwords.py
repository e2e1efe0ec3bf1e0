"""Passwords: bcrypt in a few threads of its own, so that no request waits for another's hash.

bcrypt reads 72 bytes and no NUL; SHA-256 in base64 (44 bytes) before it lifts both bounds. A salted
hash of a hash is what Django and Dropbox do for the same reason. The text is normalised first (NFC, as
RFC 8265 §4.2 says): keyboards differ in how they compose an "é".
"""

import asyncio
import base64
import hashlib
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import bcrypt

from taskflow_core.errors import Unavailable
from taskflow_core.settings import AuthSettings

_WAITING_PER_THREAD = 8


class Passwords:
    """Hashes and checks passwords. Raises `Unavailable` when too many already wait."""

    def __init__(self, settings: AuthSettings) -> None:
        self._cost = settings.bcrypt_cost
        self._threads = ThreadPoolExecutor(settings.password_threads, "bcrypt")
        self._room = settings.password_threads * (1 + _WAITING_PER_THREAD)
        # of a password that nobody has: checking against it takes as long as against a real one
        self._nobody = hash_password("", self._cost)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """Return the hash to store."""
        return await self._run(hash_password, password, self._cost)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Tell whether a password is the stored one; without one it takes the same time."""
        digest = (stored or self._nobody).encode()
        matches = await self._run(bcrypt.checkpw, _shortened(password), digest)
        return matches and stored is not None

    async def _run[*Ts, T](self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        if self._room <= 0:
            raise Unavailable("Too many passwords are being checked. Try again shortly.")
        self._room -= 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._room += 1


def hash_password(password: str, cost: int) -> str:
    """Return the hash to store; it takes 2^`cost` rounds of one core."""
    return bcrypt.hashpw(_shortened(password), bcrypt.gensalt(cost)).decode()


def _shortened(password: str) -> bytes:
    normal = unicodedata.normalize("NFC", password)
    return base64.b64encode(hashlib.sha256(normal.encode()).digest())
