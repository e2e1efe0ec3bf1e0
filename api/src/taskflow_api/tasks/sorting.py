"""The orders a list of tasks can have, and where a page stands in each."""

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from taskflow_api.tasks.rows import TaskRow
from taskflow_core.tasks.states import Priority


@dataclass(frozen=True, slots=True)
class Sort:
    """By `name` and then by id, both in one direction. `created_at` is the order of the ids alone."""

    name: str
    descending: bool

    @classmethod
    def named(cls, text: str) -> Self:
        """Return the order that `text` names, such as `-created_at`."""
        return cls(text.removeprefix("-"), text.startswith("-"))

    @property
    def never(self) -> str:
        """What tasks without a due date are sorted by: they come last in both directions."""
        return "-infinity" if self.descending else "infinity"

    def position(self, last: TaskRow) -> list[Any]:
        """Return where the next page starts, as JSON values: after `last`."""
        match self.name:
            case "created_at":
                return [last.id]
            case "priority":
                return [int(Priority[last.priority]), last.id]
            case "due_at":
                return [last.due_at or self.never, last.id]
            case _:
                return [last.updated_at, last.id]

    @property
    def shape(self) -> Any:  # noqa: ANN401 - a type that only msgspec can name
        """What a cursor's position must look like. Moments stay text: PostgreSQL reads them."""
        match self.name:
            case "created_at":
                return tuple[UUID]
            case "priority":
                return tuple[int, UUID]
            case _:
                return tuple[str, UUID]

    def parameters(self, position: tuple[Any, ...]) -> dict[str, Any]:
        """Return the parameters of `queries.page` that start it after `position`."""
        *key, after_id = position
        return {"after_id": after_id, "after_key": key[0] if key else None}
