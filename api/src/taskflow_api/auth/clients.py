"""Where a request comes from: never stored as it is, only as a keyed hash."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

from taskflow_api.keyring import Keyring

_USER_AGENT_CHARS = 300
type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Client:
    """A network address (None if there is none, as on a Unix socket) and the client's name."""

    address: Address | None
    user_agent: str | None

    def place(self, keyring: Keyring) -> str | None:
        """Return the stored form of the address: key id and keyed hash."""
        if self.address is None:
            return None
        return f"{keyring.first}:{keyring.digest('place', self.address.packed).hex()}"

    def is_at(self, place: str | None, keyring: Keyring) -> bool:
        """Tell whether `place` was made from this address, by a key that is still live."""
        if self.address is None or place is None:
            return self.address is None and place is None
        kid, _, digest = place.partition(":")
        return keyring.holds(kid) and (
            keyring.digest("place", self.address.packed, kid).hex() == digest
        )

    def has_left(self, place: str | None, keyring: Keyring) -> bool:
        """Tell whether `place` is surely another: not if its key is gone, or there is no address."""
        if self.address is None or place is None:
            return False
        return keyring.holds(place.partition(":")[0]) and not self.is_at(place, keyring)


def client_of(request: Request, trusted: Iterable[Network]) -> Client:
    """Return who sent a request: the nearest address that is no proxy of ours.

    `X-Forwarded-For` is read from its end, and only as far as each hop is a trusted proxy.
    """
    peer = _address(request.client.host) if request.client else None
    networks = tuple(trusted)
    forwarded = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    while peer is not None and forwarded and any(peer in network for network in networks):
        nearer = _address(forwarded.pop())
        if nearer is None:
            break
        peer = nearer
    agent = request.headers.get("user-agent")
    return Client(peer, _printable(agent)[:_USER_AGENT_CHARS] if agent else None)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    # one machine, whether the socket speaks IPv4 or IPv6
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
