"""The one root of TaskFlow's errors, rendered everywhere as RFC 9457 `application/problem+json`.

A domain error lives beside its domain and derives from `TaskFlowError`: its class says the type URI,
the title and the status; its message is the sentence the client reads. No message may repeat the
client's input or a driver's words.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

PROBLEM_TYPE_BASE = "https://taskflow.dev/problems/"
PROBLEM_MEDIA_TYPE = "application/problem+json"


class FieldError(msgspec.Struct, frozen=True):
    """One field that cannot be accepted: `pointer` is a JSON pointer (RFC 6901), `detail` the fix.

    Parameters of the path, the query or a header have `/path/…`, `/query/…` or `/header/…` pointers.
    """

    pointer: str
    detail: str


class TaskFlowError(Exception):
    """Root of the errors whose text clients may read."""

    type: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"
    status: ClassVar[int] = 500

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extensions: Any,  # noqa: ANN401 - RFC 9457 extension members are any JSON
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extensions = extensions

    def problem(self, **context: str | None) -> dict[str, Any]:
        """Return the problem document; `context` adds members such as `request_id`, if not None."""
        body: dict[str, Any] = {
            "type": PROBLEM_TYPE_BASE + self.type,
            "title": self.title,
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = [msgspec.to_builtins(error) for error in self.errors]
        body |= self.extensions
        body |= {name: value for name, value in context.items() if value is not None}
        return body


class ValidationFailed(TaskFlowError):
    """The request is understood but fields of it cannot be accepted."""

    type = "validation"
    title = "The request has fields that cannot be accepted"
    status = 422


class Malformed(TaskFlowError):
    """The request cannot be read at all."""

    type = "malformed"
    title = "The request cannot be read"
    status = 400


class Unauthenticated(TaskFlowError):
    """Nobody, or nobody known, is asking."""

    type = "unauthenticated"
    title = "Log in first"
    status = 401

    def __init__(self, detail: str | None = None, **extensions: Any) -> None:  # noqa: ANN401
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"}, **extensions)


class Forbidden(TaskFlowError):
    """The role of the caller does not allow this."""

    type = "forbidden"
    title = "Your role does not allow this"
    status = 403


class NotFound(TaskFlowError):
    """No such thing, or none that the caller may know of."""

    type = "not-found"
    title = "There is nothing here that you may see"
    status = 404


class Conflict(TaskFlowError):
    """The present state does not allow this."""

    type = "conflict"
    title = "The present state does not allow this"
    status = 409


class PreconditionFailed(TaskFlowError):
    """`If-Match` names a version that is no longer the current one."""

    type = "precondition-failed"
    title = "It was changed since you read it"
    status = 412


class TooLarge(TaskFlowError):
    """The body is over the limit of its route."""

    type = "too-large"
    title = "The body is too large"
    status = 413


class Unavailable(TaskFlowError):
    """A dependency is away; the same request may succeed after `retry_after_s` seconds."""

    type = "unavailable"
    title = "The service cannot answer this right now"
    status = 503

    def __init__(self, detail: str | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_s)})
