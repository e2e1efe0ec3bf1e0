"""Bodies of logins and sessions."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from taskflow_api.schemas import Body, Read
from taskflow_api.text import Email, Line, LoginName
from taskflow_core.models.users import Role

# any characters at all: what is hashed is never shown
NewPassword = Annotated[str, StringConstraints(min_length=12, max_length=1024)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Register(Body):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "ada@example.com",
                    "name": "Ada Lovelace",
                    "password": "correct horse battery",
                }
            ]
        }
    )

    email: Email
    name: Line
    password: NewPassword = Field(description="12 characters or more.")


class Login(Body):
    """Who logs in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "ada@example.com", "password": "correct horse battery"}]
        }
    )

    email: LoginName  # one that is no address is simply nobody's
    password: Password


class Refresh(Body):
    """The refresh token of a login or of the refresh before."""

    refresh_token: Token


class ProfilePatch(Body):
    """What of one's own account to change; what is left out stays."""

    email: Email | None = None
    name: Line | None = None


class PasswordChange(Body):
    """One's present password, and the one to have from now on."""

    current_password: Password
    new_password: NewPassword


class UserRead(Read):
    """A person."""

    id: UUID
    email: str | None
    name: str
    role: Role
    active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class TokenPair(Read):
    """What a login gives. `expires_in`: life of the access token, seconds."""

    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a word of RFC 6750
    expires_in: int
    user: UserRead


class SessionRead(Read):
    """One login. `place`: the same for the same network address, and nothing more."""

    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    place: str | None
    current: bool


class SessionList(Read):
    """All live sessions, newest first."""

    data: list[SessionRead]
