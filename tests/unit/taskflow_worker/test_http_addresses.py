"""Which addresses `http.request` may connect to."""

import asyncio
from ipaddress import ip_address

import pytest

from taskflow_worker.handlers.http.addresses import allowed_addresses, is_public


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",  # carrier-grade NAT
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",  # cloud metadata
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",  # documentation
        "192.168.0.1",
        "198.18.0.1",  # benchmarks
        "224.0.0.1",
        "224.0.1.1",  # multicast that is globally routable
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",  # mapped: whoever translates it decides
        "::ffff:0:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::1",
        "100::1",  # discard
        "2001::1",  # Teredo
        "2001:db8::1",  # documentation
        "2002:7f00:1::1",  # 6to4 of 127.0.0.1
        "2002:808:808::1",
        "fc00::1",
        "fd00:ec2::254",  # cloud metadata
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_an_address_that_is_not_plainly_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450::8a"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "::1"]
)
async def test_every_way_to_write_loopback_is_loopback(host: str) -> None:
    assert await allowed_addresses(host, 80, private=False) == []
    assert await allowed_addresses(host, 80, private=True)


async def test_of_several_addresses_the_public_ones_are_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def both(host: str, port: int, **_: object) -> list[object]:
        return [
            (2, 1, 6, "", ("10.0.0.1", port)),
            (2, 1, 6, "", ("1.1.1.1", port)),
            (10, 1, 6, "", ("fe80::1%eth0", port, 0, 2)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)

    assert await allowed_addresses("example.com", 443, private=False) == ["1.1.1.1"]
