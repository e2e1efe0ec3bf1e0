"""A small client of the API: log in, create a task, follow it."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from taskflow_cli.errors import BadInputError, CommandError

_FIRST_POLL_S = 0.005
_LAST_POLL_S = 0.5
_POLL_GROWTH = 1.3
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the API shows it, as far as the command line needs it."""

    id: str
    title: str
    status: str
    flow: str
    handler: str | None
    attempt: int
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Any = None
    result: Any = None
    error: Any = None


class Submission(msgspec.Struct, frozen=True):
    """A created task, and when we asked for it and had the answer (Unix seconds)."""

    task: TaskView
    sent_at: float
    answered_at: float


class _Login(msgspec.Struct):
    access_token: str


class _FieldProblem(msgspec.Struct):
    pointer: str = ""
    detail: str = ""


class _Problem(msgspec.Struct):
    title: str = ""
    detail: str | None = None
    errors: list[_FieldProblem] = []

    def sentence(self) -> str:
        fields = "; ".join(f"{e.pointer}: {e.detail}" for e in self.errors)
        return ". ".join(part for part in (self.detail or self.title, fields) if part)


class Client:
    """One API, with or without a login. Times out after 10 s; use it as a context manager."""

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        try:
            # a proxy for the world is not meant for this machine
            elsewhere = httpx.URL(self.url).host not in _LOOPBACK
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1",
                timeout=10.0,
                transport=transport,
                trust_env=elsewhere,
            )
        except (httpx.InvalidURL, ValueError) as error:
            raise BadInputError(f"{url} is no URL of an API ({error}).") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def use_token(self, token: str) -> None:
        """Send this access token from now on."""
        self._http.headers["authorization"] = f"Bearer {token}"

    def login(self, email: str, password: str) -> None:
        """Log in. Raises `CommandError` if that is refused."""
        answer = self._ask("POST", "/auth/login", {"email": email, "password": password})
        self.use_token(msgspec.json.decode(answer.content, type=_Login).access_token)

    def create(self, task: dict[str, Any]) -> Submission:
        """Create a task. Raises `BadInputError` if it cannot be accepted."""
        sent_at = time.time()
        answer = self._ask("POST", "/tasks", task)
        answered_at = time.time()
        created = msgspec.json.decode(answer.content, type=TaskView)
        return Submission(created, sent_at, answered_at)

    def task(self, task_id: str) -> TaskView:
        """Read a task."""
        answer = self._ask("GET", f"/tasks/{task_id}")
        return msgspec.json.decode(answer.content, type=TaskView)

    def follow(
        self, task_id: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[TaskView]:
        """Give the task again and again until it has ended, at first often, later twice a second."""
        pause_s = _FIRST_POLL_S
        while True:
            task = self.task(task_id)
            yield task
            if task.status in FINAL:
                return
            sleep(pause_s)
            pause_s = min(_LAST_POLL_S, pause_s * _POLL_GROWTH)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.UnsupportedProtocol:
            raise BadInputError(
                f"{self.url} is no URL of an API; write it like http://127.0.0.1:8000."
            ) from None
        except httpx.TimeoutException:
            raise CommandError(f"The API at {self.url} did not answer within 10 s.") from None
        except httpx.TransportError as error:
            raise CommandError(
                f"No API answers at {self.url} ({error}); start one with `taskflow up`, or say"
                " where it is with --url."
            ) from None
        if answer.is_success:
            return answer
        raise _refusal(answer, self.url)


def _refusal(answer: httpx.Response, url: str) -> CommandError | BadInputError:
    try:
        said = msgspec.json.decode(answer.content, type=_Problem).sentence()
    except msgspec.MsgspecError:
        said = answer.reason_phrase
    if answer.status_code in {httpx.codes.BAD_REQUEST, httpx.codes.UNPROCESSABLE_ENTITY}:
        return BadInputError(f"The API does not accept this: {said}")
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return CommandError(
            f"The API at {url} refused the login: {said}. Use --email and --password, or"
            " TASKFLOW_TOKEN."
        )
    wait = answer.headers.get("retry-after")
    later = f" (try again in {wait} s)" if wait else ""
    return CommandError(f"The API answered {answer.status_code}: {said}{later}")
