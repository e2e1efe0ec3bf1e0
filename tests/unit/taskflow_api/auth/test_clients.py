"""Whose request it is, behind any number of proxies."""

from ipaddress import ip_address, ip_network

import pytest
from starlette.requests import Request

from taskflow_api.auth.clients import Client, client_of
from taskflow_api.keyring import Keyring
from tests.support.api import auth_settings, key


def request(peer: str | None, *forwarded: str, agent: str | None = None) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    if agent is not None:
        headers.append((b"user-agent", agent.encode("latin-1")))
    client = (peer, 1) if peer else None
    return Request({"type": "http", "headers": headers, "client": client})


TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", (), "203.0.113.9"),
        ("203.0.113.9", ("1.2.3.4",), "203.0.113.9"),  # a stranger's word
        ("10.0.0.1", ("1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", ("6.6.6.6, 1.2.3.4",), "1.2.3.4"),  # forged in front of the truth
        ("10.0.0.1", ("6.6.6.6, 1.2.3.4, 10.0.0.2",), "1.2.3.4"),
        ("10.0.0.1", ("6.6.6.6", "1.2.3.4"), "1.2.3.4"),  # two headers are one list
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),  # all ours: the farthest
        ("10.0.0.1", ("garbage",), "10.0.0.1"),
        ("10.0.0.1", ("1.2.3.4, garbage",), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("fd00::1", ("2001:db8::5",), "2001:db8::5"),
        ("::ffff:10.0.0.1", ("::ffff:1.2.3.4",), "1.2.3.4"),
        ("10.0.0.1", ("1.2.3.4:5678",), "10.0.0.1"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours(
    peer: str, forwarded: tuple[str, ...], address: str
) -> None:
    assert client_of(request(peer, *forwarded), TRUSTED).address == ip_address(address)


@pytest.mark.parametrize("peer", [None, "testclient"])
def test_a_peer_without_an_address_has_none(peer: str | None) -> None:
    assert client_of(request(peer), TRUSTED).address is None


def test_a_clients_name_is_bounded_and_printable() -> None:
    client = client_of(request("1.2.3.4", agent="evil\x1b[31m" + "x" * 500), ())

    assert client.user_agent is not None
    assert client.user_agent.startswith("evil?[31m")
    assert len(client.user_agent) == 300


def test_a_place_is_recognised_and_not_readable() -> None:
    keyring = Keyring(auth_settings())
    here = Client(ip_address("1.2.3.4"), None)
    place = here.place(keyring)

    assert place is not None
    assert "1.2.3.4" not in place
    assert here.is_at(place, keyring)
    assert not Client(ip_address("1.2.3.5"), None).is_at(place, keyring)
    assert not here.is_at(None, keyring)
    assert not here.is_at("gone:00", keyring)


def test_a_place_is_recognised_while_its_key_lives() -> None:
    old, new = key("old"), key("new")
    here = Client(ip_address("1.2.3.4"), None)
    place = here.place(Keyring(auth_settings(TASKFLOW_JWT_KEYS=(old,))))

    assert here.is_at(place, Keyring(auth_settings(TASKFLOW_JWT_KEYS=(new, old))))
    assert not here.is_at(place, Keyring(auth_settings(TASKFLOW_JWT_KEYS=(new,))))


def test_nobody_has_left_a_place_that_cannot_be_compared() -> None:
    keyring = Keyring(auth_settings())
    here = Client(ip_address("1.2.3.4"), None)

    assert Client(ip_address("1.2.3.5"), None).has_left(here.place(keyring), keyring)
    assert not here.has_left(here.place(keyring), keyring)
    assert not here.has_left(None, keyring)
    assert not here.has_left("gone:00", keyring)
    assert not Client(None, None).has_left(here.place(keyring), keyring)


def test_nowhere_is_the_same_as_nowhere_only() -> None:
    keyring, nowhere = Keyring(auth_settings()), Client(None, None)

    assert nowhere.place(keyring) is None
    assert nowhere.is_at(None, keyring)
    assert not nowhere.is_at("test:00", keyring)
