"""What every body has in common: `Body` comes in, `Read` goes out, `Page` is the one list envelope."""

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    """A request's body: unknown fields are refused, and what was refused is never repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Read(BaseModel):
    """A resource as clients see it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Meta(Read):
    """Where a page stands in its list."""

    limit: int = Field(description="Most items on a page.")
    next_cursor: str | None = Field(
        None, description="Send it as `cursor` to get the next page; null on the last."
    )
    total: int | None = Field(None, description="Items on all pages, where it was asked for.")


class Page[Item: Read](Read):
    """One page of a list."""

    data: list[Item]
    meta: Meta
