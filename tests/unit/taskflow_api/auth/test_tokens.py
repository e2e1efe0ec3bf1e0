"""Access tokens: what is accepted, and everything that is not."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from taskflow_api.auth.tokens import AccessTokens
from taskflow_core.errors import Unauthenticated
from taskflow_core.ids import new_id
from taskflow_core.models.users import Role
from tests.support.api import auth_settings, key

SETTINGS = auth_settings()
SECRET = SETTINGS.jwt_keys[0].material()
USER, SESSION = new_id(), new_id()
HEADER = {"kid": "test", "typ": "at+jwt"}


def issue(tokens: AccessTokens, at: datetime | None = None) -> str:
    return tokens.issue(USER, SESSION, Role.MANAGER, token_id=new_id(), at=at or datetime.now(UTC))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    given = {
        "iss": "taskflow",
        "aud": "taskflow-api",
        "sub": str(USER),
        "sid": str(SESSION),
        "role": "user",
        "jti": "x",
        "iat": now,
        "nbf": now,
        "exp": now + 60,
    } | changes
    return {name: value for name, value in given.items() if value is not ...}


def forged(
    body: dict[str, Any] | None = None,
    *,
    secret: bytes = SECRET,
    algorithm: str = "HS256",
    **header: Any,
) -> str:
    headers = {n: v for n, v in (HEADER | header).items() if v is not ...}
    return jwt.encode(body or claims(), secret, algorithm, headers=headers)


def test_what_was_issued_is_verified() -> None:
    tokens = AccessTokens(SETTINGS)

    seen = tokens.verify(issue(tokens))

    assert (seen.user_id, seen.session_id, seen.role) == (USER, SESSION, Role.MANAGER)


def test_the_same_claims_give_the_same_token() -> None:
    at, token_id = datetime.now(UTC), new_id()
    first, second = (
        AccessTokens(SETTINGS).issue(USER, SESSION, Role.USER, token_id=token_id, at=at)
        for _ in range(2)
    )

    assert first == second


def test_a_forged_control_is_accepted() -> None:
    assert AccessTokens(SETTINGS).verify(forged()).role is Role.USER


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "sub", "iss", "aud", "jti", "sid", "role"])
def test_each_claim_is_required(name: str) -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(SETTINGS).verify(forged(claims(**{name: ...})))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "another-api"},
        {"aud": ["another-api"]},
        {"sub": 7},
        {"sub": "not a uuid"},
        {"sid": None},
        {"sid": 5},
        {"role": "root"},
        {"role": ["admin"]},
        {"exp": 1},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"nbf": 32503680000},
        {"iat": 32503680000},
    ],
    ids=repr,
)
def test_a_claim_that_is_not_right_is_refused(changes: dict[str, Any]) -> None:
    body = claims(**changes)
    signed = (
        forged(body)
        if isinstance(body["sub"], str)
        else jwt.api_jws.encode(json.dumps(body).encode(), SECRET, "HS256", headers=HEADER)
    )

    with pytest.raises(Unauthenticated):
        AccessTokens(SETTINGS).verify(signed)


@pytest.mark.parametrize(
    "header",
    [{"kid": "other"}, {"kid": ...}, {"typ": "JWT"}, {"typ": "rt+jwt"}, {"typ": ...}],
    ids=repr,
)
def test_a_header_that_is_not_right_is_refused(header: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(SETTINGS).verify(forged(**header))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_key_fixes_the_algorithm(algorithm: str) -> None:
    long_enough = auth_settings()
    secret = long_enough.jwt_keys[0].material()
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = forged(secret=secret, algorithm=algorithm)

    with pytest.raises(Unauthenticated):
        AccessTokens(long_enough).verify(token)


def test_no_signature_is_no_token() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    for algorithm in ("none", "None", ""):
        with pytest.raises(Unauthenticated):
            AccessTokens(SETTINGS).verify(f"{part(HEADER | {'alg': algorithm})}.{part(claims())}.")


def test_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(SETTINGS).verify(forged(secret=b"x" * 32))


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b", "a.b.c", "...", "\ud800.\ud800.x", "é.é.é", "x" * 2001, "\x00"],
    ids=repr,
)
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        AccessTokens(SETTINGS).verify(token)


def test_two_keys_are_live_while_they_rotate() -> None:
    old, new = key("old"), key("new")
    before = AccessTokens(auth_settings(TASKFLOW_JWT_KEYS=(old,)))
    during = AccessTokens(auth_settings(TASKFLOW_JWT_KEYS=(new, old)))
    after = AccessTokens(auth_settings(TASKFLOW_JWT_KEYS=(new,)))

    token = issue(before)

    assert during.verify(token).user_id == USER
    with pytest.raises(Unauthenticated):
        after.verify(token)
    assert after.verify(issue(during)).user_id == USER


def test_a_remembered_token_expires_all_the_same() -> None:
    now = datetime.now(UTC)
    clock = [now.timestamp()]
    tokens = AccessTokens(SETTINGS, clock=lambda: clock[0])
    token = issue(tokens, now)
    tokens.verify(token)

    clock[0] += 900 + 29
    tokens.verify(token)
    clock[0] += 2

    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


def test_an_expired_token_says_what_to_do() -> None:
    tokens = AccessTokens(SETTINGS)

    with pytest.raises(Unauthenticated, match="refresh it"):
        tokens.verify(issue(tokens, datetime.now(UTC) - timedelta(hours=1)))
