"""What a list of tasks can be asked for."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from taskflow_api.tasks.schemas import PriorityName
from taskflow_api.text import FlowName, Handler, Line, Moment
from taskflow_core.tasks.states import Priority, TaskStatus

LIMIT_MAX = 100
# rows that `page` may skip: reaching page n by number reads all pages before it
REACH_MAX = 10_000

type SortName = Literal[
    "created_at", "-created_at", "updated_at", "-updated_at",
    "due_at", "-due_at", "priority", "-priority",
]  # fmt: skip


class _Query(BaseModel):
    """Query parameters: unknown ones are refused, and what was refused is never repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class EventFilters(_Query):
    """Query parameters of a task's log."""

    limit: int = Field(20, ge=1, le=LIMIT_MAX, description="Most events on a page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")


class TaskFilters(_Query):
    """Query parameters of the list. Ranges include their start and not their end."""

    status: list[TaskStatus] = Field(
        default_factory=list, max_length=10, description="One or several."
    )
    priority: list[PriorityName] = Field(
        default_factory=list, max_length=10, description="One or several."
    )
    owner_id: UUID | None = None
    assignee_id: UUID | None = None
    flow: FlowName | None = None
    handler: Handler | None = None
    search: Line | None = Field(None, description="Text within title or description, any case.")
    due_from: Moment | None = None
    due_to: Moment | None = None
    created_from: Moment | None = None
    created_to: Moment | None = None
    overdue: bool | None = Field(None, description="Due and not done; false: all others.")
    sort: SortName = Field(
        "-created_at",
        description=(
            "`-` reverses. `priority` begins with HIGH; tasks that are never due come last in both"
            " directions of `due_at`."
        ),
    )
    limit: int = Field(20, ge=1, le=LIMIT_MAX, description="Most tasks on a page.")
    cursor: str | None = Field(None, description="`next_cursor` of the page before.")
    page: int | None = Field(
        None, ge=1, description="Number of the page, from 1, among the first 10,000 tasks."
    )
    total: bool = Field(False, description="Count all tasks of the list, too.")

    def conditions(self) -> dict[str, Any]:
        """Return the filters in force, by their names in `queries.FILTERS`, as its parameters."""
        values = {
            "status": sorted({str(status) for status in self.status}),
            "priority": sorted({int(Priority[name]) for name in self.priority}),
            "search": None if self.search is None else f"%{_escaped(self.search)}%",
        } | {
            name: getattr(self, name)
            for name in (
                "owner_id", "assignee_id", "flow", "handler",
                "due_from", "due_to", "created_from", "created_to", "overdue",
            )
        }  # fmt: skip
        return {name: value for name, value in values.items() if value is not None and value != []}


def _escaped(text: str) -> str:
    """Return `text` with what `LIKE` gives a meaning taken literally."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
