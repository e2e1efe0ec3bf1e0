"""Keys for everything but access tokens, derived from the signing keys so that they rotate with them.

Each purpose has keys of its own (HKDF's expand step with one block, RFC 5869 §2.3), so that a value
made for one cannot be used for another. The first key makes, and all live keys verify: what was made
before a rotation stays good for as long as its key is configured.
"""

import hmac
from collections.abc import Iterator
from typing import Literal

from taskflow_core.settings import AuthSettings

_MIN_MAC_BYTES = 16  # 128 bits

type Purpose = Literal["place", "cursor", "refresh"]


class Keyring:
    """MACs per purpose. `digest` is 32 bytes of HMAC-SHA256."""

    def __init__(self, settings: AuthSettings) -> None:
        self._keys = {key.kid: key.material() for key in settings.jwt_keys}
        self._first = settings.jwt_keys[0].kid
        self._derived: dict[tuple[str, str], bytes] = {}

    def digest(self, purpose: Purpose, message: bytes, kid: str | None = None) -> bytes:
        """Return the MAC of `message`, by the first key unless `kid` names another live one."""
        return hmac.digest(self._key(purpose, kid or self._first), message, "sha256")

    def digests(self, purpose: Purpose, message: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield key id and MAC of `message` for every live key, the first one first."""
        for kid in self._keys:
            yield kid, self.digest(purpose, message, kid)

    def verifies(self, purpose: Purpose, message: bytes, mac: bytes) -> bool:
        """Tell whether any live key made `mac`, which may be shortened to 16 bytes or more."""
        return len(mac) >= _MIN_MAC_BYTES and any(
            hmac.compare_digest(digest[: len(mac)], mac)
            for _, digest in self.digests(purpose, message)
        )

    @property
    def first(self) -> str:
        """The id of the key that makes new values."""
        return self._first

    def holds(self, kid: str) -> bool:
        """Tell whether the key is (still) live."""
        return kid in self._keys

    def _key(self, purpose: Purpose, kid: str) -> bytes:
        derived = self._derived.get((purpose, kid))
        if derived is None:
            info = f"taskflow/{purpose}/v1".encode() + b"\x01"
            derived = self._derived[purpose, kid] = hmac.digest(self._keys[kid], info, "sha256")
        return derived
