"""Which addresses `http.request` may connect to.

The check is made on the addresses a name resolves to, and the connection then goes to the very address
that was checked, so that a name that answers differently the second time (DNS rebinding) gains nothing.
"""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# IPv6 that carries an IPv4 address: whatever translates it decides where the packet goes
_CARRIERS = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "::ffff:0:0:0/96",  # IPv4-translated, RFC 2765
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64 of local use, RFC 8215
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
    )
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is somebody's on the public internet, and plainly so."""
    if isinstance(address, IPv6Address) and (
        address.is_site_local or any(address in network for network in _CARRIERS)
    ):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, in the resolver's order. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


async def allowed_addresses(host: str, port: int, *, private: bool) -> list[str]:
    """Return those addresses of a host that may be connected to; `private`: all. Raises `OSError`."""
    addresses = await resolve(host, port)
    return [each for each in addresses if private or is_public(ip_address(each.partition("%")[0]))]
