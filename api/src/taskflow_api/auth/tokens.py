"""Access tokens: JWTs (RFC 7519) in the profile of RFC 9068, HS256 under named keys.

The header's `kid` chooses the key and the key fixes the algorithm; nothing else in the header is
believed. All claims are required.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import jwt

from taskflow_core.errors import Unauthenticated
from taskflow_core.models.users import Role
from taskflow_core.settings import AuthSettings

_ALGORITHM = "HS256"
_TYPE = "at+jwt"
_REQUIRED = ["exp", "iat", "nbf", "sub", "iss", "aud", "jti", "sid", "role"]
_LEEWAY_S = 30
_MAX_CHARS = 2_000
_CACHED = 20_000

# what a hostile header or payload makes the library and us raise: nested too deeply for the parser of
# JSON, a number too large for an integer, a claim of another type
_NO_TOKEN = (
    *(jwt.PyJWTError, LookupError, ValueError, TypeError, AttributeError),
    *(RecursionError, OverflowError),
)


class Claims(NamedTuple):
    """What a verified token says. `expires_at` in Unix seconds."""

    user_id: UUID
    session_id: UUID
    role: Role
    expires_at: int


class AccessTokens:
    """Issues and verifies them; the signature of a token is checked once and then remembered."""

    def __init__(self, settings: AuthSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._clock = settings, clock
        self._keys = {key.kid: key.material() for key in settings.jwt_keys}
        self._first = settings.jwt_keys[0].kid
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()

    def issue(
        self, user_id: UUID, session_id: UUID, role: Role, *, token_id: UUID, at: datetime
    ) -> str:
        """Return a token. The same arguments give the same token."""
        issued = int(at.timestamp())
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": str(role),
            "jti": str(token_id),
            "iat": issued,
            "nbf": issued,
            "exp": issued + self._settings.access_ttl_s,
        }
        header = {"kid": self._first, "typ": _TYPE}
        return jwt.encode(claims, self._keys[self._first], _ALGORITHM, headers=header)

    def verify(self, token: str) -> Claims:
        """Return what a token says. Raises `Unauthenticated`, without saying what is wrong."""
        if len(token) > _MAX_CHARS:
            raise Unauthenticated("The access token is not valid.")
        digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verified[digest] = self._read(token)
            if len(self._verified) > _CACHED:
                self._verified.popitem(last=False)
        if claims.expires_at + _LEEWAY_S < self._clock():
            raise Unauthenticated("The access token has expired: refresh it.")
        return claims

    def _read(self, token: str) -> Claims:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != _TYPE:
                raise jwt.InvalidTokenError
            claims = jwt.decode(
                token,
                self._keys[header["kid"]],
                algorithms=[_ALGORITHM],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": _REQUIRED},
            )
            return Claims(
                UUID(claims["sub"]), UUID(claims["sid"]), Role(claims["role"]), int(claims["exp"])
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The access token has expired: refresh it.") from None
        except _NO_TOKEN:
            raise Unauthenticated("The access token is not valid.") from None
