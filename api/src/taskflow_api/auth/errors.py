"""What can go wrong with logins."""

from taskflow_core.errors import Conflict, FieldError, Unauthenticated, ValidationFailed


class BadCredentials(Unauthenticated):
    """Email and password do not belong together; which of them is wrong is not said."""

    type = "bad-credentials"
    title = "Email or password is wrong"


class BadRefreshToken(Unauthenticated):
    """The refresh token is unknown, used, expired or revoked; which is not said."""

    type = "bad-refresh-token"
    title = "This session is over: log in again"


class EmailTaken(Conflict):
    """Somebody is registered with this email."""

    type = "email-taken"
    title = "This email is taken"

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("/email", "is taken; log in, or use another")])


class WrongPassword(ValidationFailed):
    """The present password, asked for again, is not the one given."""

    def __init__(self) -> None:
        super().__init__(errors=[FieldError("/current_password", "is not your password")])
