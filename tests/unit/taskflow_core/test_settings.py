"""Settings: what is accepted, what is refused with which words, and that no word is a secret."""

import inspect
from ipaddress import ip_address, ip_network

import pytest
from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from taskflow_core import settings
from taskflow_core.settings import (
    AuthSettings,
    DatabaseSettings,
    DispatcherSettings,
    HttpSettings,
    LogSettings,
    RedisSettings,
    WorkerSettings,
)

KEY = "nWc0tq3rWg2qfKX3pJ1CTG0C2JqQ4b6gPHiNL9Ko6CE"
OTHER_KEY = "zj8Kq0m2P1dR5tYw7vBxN3cL6hG9fS4aQeUiOoTrXyM"
CLASSES = [
    cls
    for _, cls in inspect.getmembers(settings, inspect.isclass)
    if issubclass(cls, BaseSettings) and cls.__module__ == settings.__name__ and cls.model_fields
]


def refusal(cls: type[BaseSettings]) -> str:
    with pytest.raises(ValidationError) as caught:
        cls()
    return str(caught.value)


def variable_of(field: FieldInfo) -> str:
    assert isinstance(field.validation_alias, AliasChoices)
    (variable,) = field.validation_alias.choices
    assert isinstance(variable, str)
    return variable


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment, with what is required set."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://app:hunter2@db/app")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@redis:6379/0")
    monkeypatch.setenv("TASKFLOW_JWT_KEYS", f"first:{KEY}")
    return monkeypatch


@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_is_documented_and_read_from_one_variable(cls: type[BaseSettings]) -> None:
    for name, field in cls.model_fields.items():
        variable = variable_of(field)

        assert field.description, f"{cls.__name__}.{name} has no description"
        assert variable in {"DATABASE_URL", "REDIS_URL"} or variable.startswith("TASKFLOW_")


@pytest.mark.parametrize("cls", CLASSES)
def test_defaults_are_accepted_by_the_fields_own_rules(
    cls: type[BaseSettings], env: pytest.MonkeyPatch
) -> None:
    unset = cls()

    values = {variable_of(field): getattr(unset, name) for name, field in cls.model_fields.items()}
    assert unset == cls.model_validate(values)


@pytest.mark.parametrize("cls", CLASSES)
def test_settings_cannot_be_changed(cls: type[BaseSettings], env: pytest.MonkeyPatch) -> None:
    opened = cls()
    name = next(iter(cls.model_fields))

    with pytest.raises(ValidationError, match="frozen"):
        setattr(opened, name, getattr(opened, name))


def test_variables_of_others_are_ignored(env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_DB_POOL_SIZES", "7")

    assert DatabaseSettings().pool_size == 10


def test_an_empty_variable_is_as_good_as_none(env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_PORT", "")

    assert HttpSettings().port == 8000


@pytest.mark.parametrize(
    ("cls", "variable"),
    [
        (DatabaseSettings, "DATABASE_URL"),
        (RedisSettings, "REDIS_URL"),
        (AuthSettings, "TASKFLOW_JWT_KEYS"),
    ],
)
def test_what_is_required_is_asked_for_by_name(
    cls: type[BaseSettings], variable: str, env: pytest.MonkeyPatch
) -> None:
    env.delenv(variable)

    assert f"{variable}\n  Field required" in refusal(cls)


@pytest.mark.parametrize(
    ("cls", "variable", "value", "reason"),
    [
        (DatabaseSettings, "DATABASE_URL", "mysql://app:hunter2@db/app", "postgresql://"),
        (DatabaseSettings, "DATABASE_URL", "hunter2", "postgresql://"),
        (DatabaseSettings, "TASKFLOW_DB_POOL_SIZE", "0", "greater than or equal to 1"),
        (DatabaseSettings, "TASKFLOW_DB_POOL_SIZE", "many", "valid integer"),
        (DatabaseSettings, "TASKFLOW_DB_POOL_TIMEOUT_S", "0", "greater than 0"),
        (DatabaseSettings, "TASKFLOW_DB_POOL_TIMEOUT_S", "inf", "finite number"),
        (DatabaseSettings, "TASKFLOW_DB_STATEMENT_TIMEOUT_S", "nan", "finite number"),
        (RedisSettings, "REDIS_URL", "http://redis:6379", "redis://"),
        (RedisSettings, "TASKFLOW_REDIS_TIMEOUT_S", "-1", "greater than 0"),
        (AuthSettings, "TASKFLOW_ACCESS_TTL_S", "59", "greater than or equal to 60"),
        (AuthSettings, "TASKFLOW_BCRYPT_COST", "3", "greater than or equal to 4"),
        (AuthSettings, "TASKFLOW_BCRYPT_COST", "17", "less than or equal to 16"),
        (HttpSettings, "TASKFLOW_PORT", "65536", "less than or equal to 65535"),
        (HttpSettings, "TASKFLOW_MAX_BODY_BYTES", "1", "greater than or equal to 1024"),
        (HttpSettings, "TASKFLOW_TRUSTED_PROXIES", "10.0.0.1/8", "bits after the prefix"),
        (HttpSettings, "TASKFLOW_TRUSTED_PROXIES", "10.0.0.0/8,proxy", "such as 10.0.0.0/8"),
        (HttpSettings, "TASKFLOW_TRUSTED_PROXIES", "*", "such as 10.0.0.0/8"),
        (HttpSettings, "TASKFLOW_CORS_ORIGINS", "*", "`*` is not accepted"),
        (HttpSettings, "TASKFLOW_CORS_ORIGINS", "https://*.example.com", "such as https://"),
        (HttpSettings, "TASKFLOW_CORS_ORIGINS", "https://example.com/", "without path"),
        (HttpSettings, "TASKFLOW_CORS_ORIGINS", "example.com", "such as https://"),
        (HttpSettings, "TASKFLOW_CORS_ORIGINS", "null", "such as https://"),
        (WorkerSettings, "TASKFLOW_FLOW", "-flow", "should match pattern"),
        (WorkerSettings, "TASKFLOW_FLOW", "flow\n", "should match pattern"),
        (WorkerSettings, "TASKFLOW_FLOW", "a" * 64, "should match pattern"),
        (WorkerSettings, "TASKFLOW_SLOTS", "0", "greater than or equal to 1"),
        (WorkerSettings, "TASKFLOW_GRACE_S", "-0.1", "greater than or equal to 0"),
        (WorkerSettings, "TASKFLOW_HTTP_ALLOW_PRIVATE", "perhaps", "valid boolean"),
        (DispatcherSettings, "TASKFLOW_REPLICA", "r" * 101, "at most 100 characters"),
        (DispatcherSettings, "TASKFLOW_METRICS_PORT", "-1", "greater than or equal to 0"),
        (LogSettings, "TASKFLOW_LOG", "xml", "'json' or 'console'"),
        (LogSettings, "TASKFLOW_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_bad_value_is_refused_with_its_variable_and_the_rule(
    cls: type[BaseSettings], variable: str, value: str, reason: str, env: pytest.MonkeyPatch
) -> None:
    env.setenv(variable, value)

    said = refusal(cls)

    assert variable in said
    assert reason in said
    assert "input_value" not in said, "a value may be a secret"


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (KEY, "written as key-id:base64url-key"),
        (f":{KEY}", "written as key-id:base64url-key"),
        (f"first:{KEY},", "written as key-id:base64url-key"),
        (",", "written as key-id:base64url-key"),
        (f"first:{KEY},second:hunter2", "key second has 5 bytes, 32 are needed"),
        ("first:", "key first has 0 bytes"),
        ("first:" + "*" * 43, "key first is not base64url"),
        (f"first:{KEY[:-1]}", "31 bytes, 32 are needed; make one with: python3 -c"),
        ("first:" + "A" * 43, "key first is not random; make one with: python3 -c"),
        (f"first:{KEY},first:{OTHER_KEY}", "two keys have the same id"),
    ],
)
def test_a_weak_or_ambiguous_key_is_refused_with_the_fix(
    keys: str, reason: str, env: pytest.MonkeyPatch
) -> None:
    env.setenv("TASKFLOW_JWT_KEYS", keys)

    said = refusal(AuthSettings)

    assert "TASKFLOW_JWT_KEYS" in said
    assert reason in said
    assert KEY[:-1] not in said
    assert "hunter2" not in said


def test_no_key_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="at least one key is needed"):
        AuthSettings(TASKFLOW_JWT_KEYS=())


def test_the_first_key_signs_and_all_are_known(env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_JWT_KEYS", f"new:{OTHER_KEY}, old:{KEY}")

    keys = AuthSettings().jwt_keys

    assert [key.kid for key in keys] == ["new", "old"]
    assert [len(key.material()) for key in keys] == [32, 32]
    assert keys[0].material() != keys[1].material()


@pytest.mark.parametrize("padding", ["", "="])
def test_a_key_may_be_padded(padding: str, env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_JWT_KEYS", f"first:{KEY}{padding}")

    assert len(AuthSettings().jwt_keys[0].material()) == 32


@pytest.mark.parametrize("cls", CLASSES)
def test_no_secret_shows_in_repr_str_or_a_dump(
    cls: type[BaseSettings], env: pytest.MonkeyPatch
) -> None:
    opened = cls()

    shown = f"{opened!r} {opened} {opened.model_dump()} {opened.model_dump_json()}"

    assert "hunter2" not in shown
    assert KEY not in shown


def test_a_secret_is_readable_where_it_is_needed(env: pytest.MonkeyPatch) -> None:
    assert DatabaseSettings().url == SecretStr("postgresql://app:hunter2@db/app")
    assert RedisSettings().url.get_secret_value() == "redis://:hunter2@redis:6379/0"


@pytest.mark.parametrize(
    "url", ["redis://redis", "rediss://redis:6380/1", "unix:///run/valkey.sock"]
)
def test_each_way_to_reach_redis_is_accepted(url: str, env: pytest.MonkeyPatch) -> None:
    env.setenv("REDIS_URL", url)

    assert RedisSettings().url.get_secret_value() == url


def test_nobody_is_a_trusted_proxy_unless_named(env: pytest.MonkeyPatch) -> None:
    assert HttpSettings().trusted_proxies == ()


def test_trusted_proxies_are_networks_and_single_addresses(env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,fd00::/8,")

    networks = HttpSettings().trusted_proxies

    assert networks == tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")))
    assert ip_address("10.9.8.7") in networks[0]
    assert ip_address("192.0.2.8") not in networks[1]


def test_origins_are_listed_one_by_one(env: pytest.MonkeyPatch) -> None:
    env.setenv("TASKFLOW_CORS_ORIGINS", "https://app.example.com, http://localhost:5173")

    assert HttpSettings().cors_origins == ("https://app.example.com", "http://localhost:5173")


def test_a_flow_is_named_as_kubernetes_names_things(env: pytest.MonkeyPatch) -> None:
    for name in ("a", "emails-2", "a" * 63):
        env.setenv("TASKFLOW_FLOW", name)

        assert WorkerSettings().flow == name
