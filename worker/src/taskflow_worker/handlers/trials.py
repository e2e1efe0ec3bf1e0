"""`echo`, `sleep` and `fail`: for trying TaskFlow out, and for breaking it on purpose."""

import asyncio
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from taskflow_worker import Context, Fatal, handler

_LONGEST_SLEEP_S = 86_400


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Nap(_Strict):
    """For how long `sleep` sleeps."""

    seconds: Annotated[float, Field(ge=0, le=_LONGEST_SLEEP_S, allow_inf_nan=False)]


class Failure(_Strict):
    """How `fail` fails: with `message`, for good if `fatal`, else `times` times (for ever if None)."""

    message: str = Field("It was asked to fail.", max_length=1000)
    fatal: bool = False
    times: int | None = Field(None, ge=0)


@handler("echo")
async def echo(payload: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the payload."""
    return payload


@handler("sleep")
async def sleep(payload: Nap, ctx: Context) -> Nap:
    """Sleep, unless somebody asks it to stop."""
    try:
        async with asyncio.timeout(payload.seconds):
            await ctx.cancelled.wait()
    except TimeoutError:
        return payload
    ctx.raise_if_cancelled()
    return payload


_ANY_FAILURE = Failure()


@handler("fail")
async def fail(payload: Failure = _ANY_FAILURE, *, ctx: Context) -> dict[str, int]:
    """Fail as asked; return the number of the attempt that no longer does."""
    if payload.fatal:
        raise Fatal(payload.message)
    if payload.times is None or ctx.attempt <= payload.times:
        raise RuntimeError(payload.message)
    return {"attempt": ctx.attempt}
