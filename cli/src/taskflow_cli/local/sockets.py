"""Where the sockets of the embedded servers go: a folder that only their owners can enter."""

import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

_SOCKET_PATH_MAX = 100  # of 107 bytes; the server adds a suffix
_LONGEST_NAME = "-run/.s.PGSQL.5432.lock"


class UnsafeFolderError(Exception):
    """Somebody else made the folder that we would put a socket into."""


def socket_folder(data: Path) -> Path:
    """Return the folder for a server's sockets: beside its data, or one in /tmp where that cannot be.

    A socket's path is short, and PostgreSQL's clients take a comma for the end of a host.
    """
    if len(os.fsencode(data)) <= _SOCKET_PATH_MAX - len(_LONGEST_NAME) and "," not in str(data):
        return data.with_name(f"{data.name}-run")
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"taskflow-{os.getuid()}-{digest}"


def make(folder: Path, user: pwd.struct_passwd | None) -> None:
    """Make the folder for a server that runs as `user` (None: as we do).

    In /tmp anybody could have made it before us, to listen in our place: raises `UnsafeFolderError`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    owners = {os.geteuid()} | ({user.pw_uid} if user is not None else set())
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners:
        raise UnsafeFolderError(f"{folder} belongs to somebody else; remove it")
    folder.chmod(0o700)
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
