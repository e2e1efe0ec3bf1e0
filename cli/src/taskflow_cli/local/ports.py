"""The port of the API: free, or whose it is."""

import contextlib
import socket

import psutil

from taskflow_cli.errors import BadInputError


def free_port(host: str, port: int) -> int:
    """Return `port` if we can listen on it, or a free one for 0. Raises `BadInputError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            # a second bind with SO_REUSEADDR passes until somebody listens
            probe.listen(1)
            taken: int = probe.getsockname()[1]
            return taken
    except PermissionError:
        raise BadInputError(
            f"Port {port} needs rights that you do not have; choose one above 1023 with --port."
        ) from None
    except OSError as error:
        if isinstance(error, socket.gaierror):
            raise BadInputError(
                f"TASKFLOW_HOST names no address of this machine: {error.strerror}."
            ) from None
        raise BadInputError(
            f"Port {port} is taken{_holder(port)}; choose another: taskflow up --port {port + 1}"
        ) from None


def _holder(port: int) -> str:
    """Return " by NAME (pid N)" as far as we may know."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
