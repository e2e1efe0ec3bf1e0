"""The keys that sign tokens: made once, kept in the data directory for its owner only."""

import secrets

import pydantic

from taskflow_cli.local.data import DataDirectory, write_private
from taskflow_core.settings import AuthSettings


def jwt_keys(data: DataDirectory) -> str:
    """Return the keys as `TASKFLOW_JWT_KEYS` has them; new ones if there are none that can be used."""
    try:
        kept = data.keys.read_text().strip()
        AuthSettings.model_validate({"TASKFLOW_JWT_KEYS": kept})
    except (FileNotFoundError, pydantic.ValidationError):
        kept = f"local:{secrets.token_urlsafe(32)}"
        write_private(data.keys, f"{kept}\n")
    return kept
