"""Everything the API reads from its environment."""

from dataclasses import dataclass
from typing import Self

from taskflow_core.process import settings_or_exit
from taskflow_core.settings import (
    AuthSettings,
    DatabaseSettings,
    HttpSettings,
    LogSettings,
    RedisSettings,
)


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """One settings object per concern."""

    database: DatabaseSettings
    redis: RedisSettings
    auth: AuthSettings
    http: HttpSettings
    log: LogSettings

    @classmethod
    def from_environment(cls) -> Self:
        """Read all of them; bad ones end the process with a sentence each and exit code 2."""
        return cls(
            *settings_or_exit(
                DatabaseSettings, RedisSettings, AuthSettings, HttpSettings, LogSettings
            )
        )
