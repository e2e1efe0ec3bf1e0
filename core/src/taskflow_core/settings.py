"""Settings from the environment: one small class per concern, read once where a process starts.

Secrets are `SecretStr`, so that neither `repr` nor a log line can show them. `docs/configuration.md`
is generated from these classes; a field's description is its documentation.
"""

import base64
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_KEY_BYTES = 32  # RFC 7518 §3.2: an HS256 key has at least the size of the hash
# 32 random bytes hold 30 different ones on average; fewer than this many means somebody typed the key
_MIN_DIFFERENT_BYTES = 16
_ORIGIN = re.compile(r"https?://[^/?#@*\s]+")  # as browsers send it: RFC 6454 §6.2
_MAKE_A_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class _Settings(BaseSettings):
    """Common behaviour: frozen, finite, errors without values; other variables are not ours."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,  # else an error about a URL or a key quotes it
    )


def _named(variable: str) -> AliasChoices:
    return AliasChoices(variable)


class DatabaseSettings(_Settings):
    """PostgreSQL 15 or later."""

    url: SecretStr = Field(
        validation_alias=_named("DATABASE_URL"),
        description="PostgreSQL URL, `postgresql://user:password@host:5432/name`.",
    )
    pool_size: int = Field(
        10,
        ge=1,
        le=200,
        validation_alias=_named("TASKFLOW_DB_POOL_SIZE"),
        description="Connections each API process keeps open.",
    )
    pool_timeout_s: float = Field(
        1.0,
        gt=0,
        validation_alias=_named("TASKFLOW_DB_POOL_TIMEOUT_S"),
        description="Longest wait for a pooled connection, seconds; then the answer is 503.",
    )
    statement_timeout_s: float = Field(
        10.0,
        gt=0,
        validation_alias=_named("TASKFLOW_DB_STATEMENT_TIMEOUT_S"),
        description="Longest run of one statement of the API, seconds.",
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return url


class RedisSettings(_Settings):
    """Redis 7.0 or later, or Valkey 8 or later."""

    url: SecretStr = Field(
        validation_alias=_named("REDIS_URL"),
        description="Redis or Valkey URL, `redis://:password@host:6379/0`.",
    )
    timeout_s: float = Field(
        1.0,
        gt=0,
        validation_alias=_named("TASKFLOW_REDIS_TIMEOUT_S"),
        description="Longest wait for one answer, seconds.",
    )

    @field_validator("url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return url


class SigningKey(BaseModel, frozen=True, hide_input_in_errors=True):
    """A named HS256 key; two or more live at once while keys rotate."""

    kid: str
    secret: SecretStr

    def material(self) -> bytes:
        """Return the key's bytes. Raises `ValueError` if it is not base64url."""
        text = self.secret.get_secret_value().rstrip("=")
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)


class AuthSettings(_Settings):
    """Tokens and passwords."""

    jwt_keys: Annotated[tuple[SigningKey, ...], NoDecode] = Field(
        validation_alias=_named("TASKFLOW_JWT_KEYS"),
        description=(
            "Comma-separated `key id:base64url key` pairs, 32 bytes or more each. The first signs,"
            " all verify: to rotate, put the new one first and drop the old one after 15 minutes."
        ),
    )
    issuer: str = Field(
        "taskflow", validation_alias=_named("TASKFLOW_JWT_ISSUER"), description="`iss` of tokens."
    )
    audience: str = Field(
        "taskflow-api",
        validation_alias=_named("TASKFLOW_JWT_AUDIENCE"),
        description="`aud` of tokens.",
    )
    access_ttl_s: int = Field(
        900,
        ge=60,
        le=86_400,
        validation_alias=_named("TASKFLOW_ACCESS_TTL_S"),
        description="Life of an access token, seconds.",
    )
    refresh_ttl_s: int = Field(
        14 * 86_400,
        ge=300,
        validation_alias=_named("TASKFLOW_REFRESH_TTL_S"),
        description="Life of an unused refresh token, seconds.",
    )
    session_ttl_s: int = Field(
        90 * 86_400,
        ge=300,
        validation_alias=_named("TASKFLOW_SESSION_TTL_S"),
        description="Absolute life of a session, seconds, however often it is refreshed.",
    )
    replay_grace_s: float = Field(
        10.0,
        ge=0,
        validation_alias=_named("TASKFLOW_REFRESH_REPLAY_GRACE_S"),
        description=(
            "For how long the same client may repeat its last refresh, seconds: its answer may"
            " have been lost on the way."
        ),
    )
    bcrypt_cost: int = Field(
        12,
        ge=4,
        le=16,
        validation_alias=_named("TASKFLOW_BCRYPT_COST"),
        description="bcrypt cost; 12 takes about 0.2 s of one core.",
    )
    password_threads: int = Field(
        2,
        ge=1,
        validation_alias=_named("TASKFLOW_PASSWORD_THREADS"),
        description="Passwords hashed at once; at most eight times as many may wait.",
    )

    @field_validator("jwt_keys", mode="before")
    @classmethod
    def _parse_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = []
        for entry in value.split(","):
            kid, separator, secret = entry.strip().partition(":")
            if not (kid and separator):
                raise ValueError("each key is written as key-id:base64url-key")
            keys.append(SigningKey(kid=kid, secret=SecretStr(secret)))
        return tuple(keys)

    @model_validator(mode="after")
    def _strong(self) -> Self:
        if not self.jwt_keys:
            raise ValueError("TASKFLOW_JWT_KEYS: at least one key is needed")
        if len({key.kid for key in self.jwt_keys}) != len(self.jwt_keys):
            raise ValueError("TASKFLOW_JWT_KEYS: two keys have the same id")
        for key in self.jwt_keys:
            try:
                material = key.material()
            except ValueError:
                raise ValueError(f"TASKFLOW_JWT_KEYS: key {key.kid} is not base64url") from None
            if len(material) < MIN_KEY_BYTES:
                raise ValueError(
                    f"TASKFLOW_JWT_KEYS: key {key.kid} has {len(material)} bytes,"
                    f" {MIN_KEY_BYTES} are needed; {_MAKE_A_KEY}"
                )
            if len(set(material)) < _MIN_DIFFERENT_BYTES:
                raise ValueError(f"TASKFLOW_JWT_KEYS: key {key.kid} is not random; {_MAKE_A_KEY}")
        return self


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


class HttpSettings(_Settings):
    """How the API listens and what it accepts."""

    host: str = Field(
        "127.0.0.1", validation_alias=_named("TASKFLOW_HOST"), description="Address to listen on."
    )
    port: int = Field(
        8000,
        ge=0,
        le=65_535,
        validation_alias=_named("TASKFLOW_PORT"),
        description="Port to listen on; 0 takes a free one.",
    )
    max_body_bytes: int = Field(
        1 << 20,
        ge=1024,
        validation_alias=_named("TASKFLOW_MAX_BODY_BYTES"),
        description="Largest request body, bytes.",
    )
    trusted_proxies: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = Field(
        (),
        validation_alias=_named("TASKFLOW_TRUSTED_PROXIES"),
        description=(
            "Comma-separated networks whose `X-Forwarded-For` is believed; none by default."
        ),
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=_named("TASKFLOW_CORS_ORIGINS"),
        description="Comma-separated origins that browsers may call from; none by default.",
    )
    drain_s: float = Field(
        20.0,
        ge=0,
        validation_alias=_named("TASKFLOW_DRAIN_S"),
        description="Longest wait for open requests after SIGTERM, seconds.",
    )
    drain_notice_s: float = Field(
        1.0,
        ge=0,
        validation_alias=_named("TASKFLOW_DRAIN_NOTICE_S"),
        description=(
            "For how long after SIGTERM new requests are still answered while `/readyz` already says"
            " 503, seconds: load balancers need that long to notice."
        ),
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part) for part in _parts(value))
        except ValueError:
            raise ValueError(
                "must be networks such as 10.0.0.0/8, fd00::/8 or single addresses,"
                " separated by commas; bits after the prefix must be zero"
            ) from None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        origins = _parts(value)
        if not all(map(_ORIGIN.fullmatch, origins)):
            raise ValueError(
                "must be origins such as https://app.example.com, separated by commas, without"
                " path; `*` is not accepted"
            )
        return origins


class WorkerSettings(_Settings):
    """One worker process."""

    flow: str = Field(
        "default",
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        validation_alias=_named("TASKFLOW_FLOW"),
        description="The flow this worker serves.",
    )
    replica: str = Field(
        "",
        max_length=100,
        validation_alias=_named("TASKFLOW_REPLICA"),
        description="Name of this replica in heartbeats; the host name and process id by default.",
    )
    slots: int = Field(
        20,
        ge=1,
        le=5000,
        validation_alias=_named("TASKFLOW_SLOTS"),
        description="Tasks run at once.",
    )
    grace_s: float = Field(
        30.0,
        ge=0,
        validation_alias=_named("TASKFLOW_GRACE_S"),
        description="After SIGTERM: how long running tasks may still finish, seconds.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        validation_alias=_named("TASKFLOW_METRICS_PORT"),
        description="Port of `/metrics` and `/livez`; none by default.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("TASKFLOW_HOST"),
        description="Address on which `/metrics` and `/livez` listen.",
    )
    http_allow_private: bool = Field(
        False,
        validation_alias=_named("TASKFLOW_HTTP_ALLOW_PRIVATE"),
        description="Let `http.request` call private, loopback and link-local addresses.",
    )
    http_max_response_bytes: int = Field(
        1 << 20,
        ge=0,
        validation_alias=_named("TASKFLOW_HTTP_MAX_RESPONSE_BYTES"),
        description="Largest response body that `http.request` reads, bytes.",
    )


class DispatcherSettings(_Settings):
    """One dispatcher process; any number may run, one leads."""

    replica: str = Field(
        "",
        max_length=100,
        validation_alias=_named("TASKFLOW_REPLICA"),
        description=(
            "Name of this replica, unlike any other's; the host name and process id by default."
        ),
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65_535,
        validation_alias=_named("TASKFLOW_METRICS_PORT"),
        description="Port of `/metrics` and `/livez`; none by default.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        validation_alias=_named("TASKFLOW_HOST"),
        description="Address on which `/metrics` and `/livez` listen.",
    )


class ClientSettings(_Settings):
    """How the command line reaches the API; its options win."""

    url: str | None = Field(
        None,
        validation_alias=_named("TASKFLOW_URL"),
        description=(
            "URL of the API; by default that of the local TaskFlow, or `http://127.0.0.1:8000`."
        ),
    )
    token: SecretStr | None = Field(
        None,
        validation_alias=_named("TASKFLOW_TOKEN"),
        description="An access token, instead of email and password.",
    )
    email: str | None = Field(
        None,
        validation_alias=_named("TASKFLOW_EMAIL"),
        description="Whom to log in as; by default the local TaskFlow's `user@example.com`.",
    )
    password: SecretStr | None = Field(
        None,
        validation_alias=_named("TASKFLOW_PASSWORD"),
        description="Their password; asked for on a terminal if it is missing.",
    )


class LogSettings(_Settings):
    """Where facts go."""

    format: Literal["json", "console"] | None = Field(
        None,
        validation_alias=_named("TASKFLOW_LOG"),
        description="`json` or `console`; console on a terminal, json elsewhere, by default.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", validation_alias=_named("TASKFLOW_LOG_LEVEL"), description="Lowest level shown."
    )
