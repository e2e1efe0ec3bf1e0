"""Bodies and lists of people."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from taskflow_api.auth.schemas import ProfilePatch, UserRead
from taskflow_api.schemas import Body, Page
from taskflow_api.text import Line
from taskflow_core.models.users import Role


class UserPatch(ProfilePatch):
    """What to change; what is left out stays. `active` is for administrators."""

    active: bool | None = None


class RoleChange(Body):
    """The role to have from now on."""

    role: Role


class UserFilters(BaseModel):
    """Which people to list."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    role: Role | None = None
    active: bool | None = None
    search: Line | None = Field(None, description="Part of the name or of the email.")
    limit: int = Field(20, ge=1, le=100, description="Most people on a page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


FiltersDep = Annotated[UserFilters, Query()]


class UserPage(Page[UserRead]):
    """One page of people, newest first."""
