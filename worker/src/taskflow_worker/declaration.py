"""Reading a handler: what it takes, what it gives, how often and how long it may try.

Everything that can be wrong is found here, at import, and said in one sentence.
"""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from taskiq_dependencies.dependency import Dependency

from taskflow_core.tasks.retry import DEFAULT_MAX_ATTEMPTS, RetryPolicy
from taskflow_worker.context import Context
from taskflow_worker.durations import Duration, seconds
from taskflow_worker.errors import BadDeclaration

DEFAULT_RETRIES = DEFAULT_MAX_ATTEMPTS - 1
MAX_RETRIES = 100
MAX_FACTOR = 100
MISSING: Any = inspect.Parameter.empty  # a payload without a default

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
# msgspec writes these as they are, several times faster than an adapter would; compared with ==
_PLAIN_RESULTS = [type(None), dict, list, str, int, float, bool, dict[str, Any], list[Any]]
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `@handler`, checked. Times in seconds."""

    timeout_s: float | None
    policy: RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A handler as the worker sees it.

    `payload` is the name of the payload's parameter, None if it takes none; `context` likewise.
    `takes` validates payloads, `gives` serialises results; each is None where any JSON will do.
    """

    name: str
    function: Callable[..., Any]
    options: Options
    payload: str | None
    payload_default: Any
    takes: TypeAdapter[Any] | None
    context: str | None
    dependencies: tuple[str, ...]
    gives: TypeAdapter[Any] | None
    is_async: bool


def options(
    *,
    timeout: Duration | None,
    retries: int,
    backoff_initial: Duration,
    backoff_factor: float,
    backoff_max: Duration,
) -> Options:
    """Check the arguments of `@handler`. Raises `BadDeclaration`."""
    if not (_is_a(int, retries) and 0 <= retries <= MAX_RETRIES):
        raise BadDeclaration(f"retries must be a whole number from 0 to {MAX_RETRIES}")
    if not (_is_a(int | float, backoff_factor) and 1 <= backoff_factor <= MAX_FACTOR):
        raise BadDeclaration(f"backoff_factor must be a number from 1 to {MAX_FACTOR}")
    timeout_s = None if timeout is None else _seconds("timeout", timeout)
    if timeout_s == 0:
        raise BadDeclaration("timeout must be more than 0; leave it out for no timeout")
    policy = RetryPolicy(
        max_attempts=retries + 1,
        initial_s=_seconds("backoff_initial", backoff_initial),
        factor=float(backoff_factor),
        max_s=_seconds("backoff_max", backoff_max),
    )
    return Options(timeout_s=timeout_s, policy=policy)


def declare(name: str, function: Callable[..., Any], chosen: Options) -> Declaration:
    """Read a handler's signature. Raises `BadDeclaration`."""
    if not (_is_a(str, name) and _NAME.fullmatch(name)):
        raise BadDeclaration(
            f"handler {name!r}: a name has 1 to 100 of a-z 0-9 . _ - and begins with a letter or digit"
        )
    try:
        return _declare(name, function, chosen)
    except BadDeclaration as error:
        where = getattr(function, "__qualname__", repr(function))
        raise BadDeclaration(f"handler {name!r} ({where}): {error}") from error


def _declare(name: str, function: Callable[..., Any], chosen: Options) -> Declaration:
    _require_function(function)
    hints = _hints(function)
    payload: inspect.Parameter | None = None
    context: str | None = None
    dependencies: list[str] = []
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        hint = hints.get(parameter.name, Any)
        if parameter.kind in _VARIADIC:
            raise BadDeclaration(f"*{parameter.name} cannot be filled; name each parameter")
        if _is_dependency(parameter, hint):
            dependencies.append(parameter.name)
        elif hint is Context:
            context = _only(context, parameter)
        elif position == 0:
            payload = parameter
        else:
            raise BadDeclaration(_unfillable(parameter.name))
    return Declaration(
        name=name,
        function=function,
        options=chosen,
        payload=payload.name if payload else None,
        payload_default=payload.default if payload else MISSING,
        takes=_adapter(hints.get(payload.name, Any), "payload") if payload else None,
        context=context,
        dependencies=tuple(dependencies),
        gives=_adapter(hints.get("return", Any), "return value"),
        is_async=inspect.iscoroutinefunction(function),
    )


def _is_a(kind: type | UnionType, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _seconds(option: str, duration: Duration) -> float:
    try:
        return seconds(duration)
    except (TypeError, ValueError) as error:
        raise BadDeclaration(f"{option} {error}") from None


def _require_function(function: Callable[..., Any]) -> None:
    if not inspect.isfunction(function):
        raise BadDeclaration("a handler is a function, `async def` or `def`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadDeclaration("a handler returns its result; it cannot `yield`")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BadDeclaration(
            f"an annotation cannot be read ({error}); import its type at the top of the module"
        ) from None


def _is_dependency(parameter: inspect.Parameter, hint: Any) -> bool:  # noqa: ANN401
    marks = (parameter.default, *getattr(hint, "__metadata__", ()))
    return any(isinstance(mark, Dependency) for mark in marks)


def _only(taken: str | None, parameter: inspect.Parameter) -> str:
    if taken is not None:
        raise BadDeclaration(f"{taken} and {parameter.name} are both a Context; one is enough")
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise BadDeclaration(f"{parameter.name} must not be positional-only")
    return parameter.name


def _unfillable(name: str) -> str:
    return (
        f"nothing fills {name!r}: the first parameter is the payload, any other is a"
        " taskflow_worker.Context or a Taskiq dependency, Annotated[X, TaskiqDepends()]"
    )


def _adapter(hint: Any, what: str) -> TypeAdapter[Any] | None:  # noqa: ANN401 - any annotation
    """Prepare a type for JSON; None where all JSON fits and nothing need be converted."""
    if hint is Any or hint is object:
        return None
    if what == "return value" and hint in _PLAIN_RESULTS:
        return None
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        adapter.rebuild()
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        problem = str(error).split("\n", 1)[0]
        raise BadDeclaration(f"pydantic cannot handle the {what}'s type: {problem}") from None
    return adapter
