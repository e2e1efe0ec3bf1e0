"""The port of the API."""

import os
import socket

import pytest

from taskflow_cli.errors import BadInputError
from taskflow_cli.local.ports import free_port


def test_zero_takes_a_free_one() -> None:
    port = free_port("127.0.0.1", 0)

    with socket.socket() as mine:
        mine.bind(("127.0.0.1", port))


def test_a_free_one_is_taken_as_asked() -> None:
    port = free_port("127.0.0.1", 0)

    assert free_port("127.0.0.1", port) == port


def test_a_taken_one_names_who_has_it_and_the_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(BadInputError) as raised:
            free_port("127.0.0.1", port)

    assert f"Port {port} is taken by " in str(raised.value)
    assert f"(pid {os.getpid()})" in str(raised.value)
    assert f"--port {port + 1}" in str(raised.value)


def test_an_address_of_nobody_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="TASKFLOW_HOST"):
        free_port("no-such-host.invalid", 0)
