"""Who may see a task and who may do what with it. The stored row decides, never what a client says.

| caller | sees | PATCH, cancel | assign | delete |
|---|---|---|---|---|
| its owner | yes | yes | yes | yes |
| its assignee | yes | yes | no: it was given to them, not for them to hand on | no |
| manager, admin | all | yes | yes | yes |
| anybody else | no: 404, as if it did not exist | | | |
"""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller, as far as tasks are concerned. `manages`: may see and do all with every task."""

    id: UUID
    manages: bool

    @property
    def actor(self) -> str:
        """What events say about who did it."""
        return f"user:{self.id}"

    def sees(self, owner_id: UUID, assignee_id: UUID | None) -> bool:
        """Tell whether a task with these people is the viewer's business."""
        return self.manages or self.id in (owner_id, assignee_id)

    def commands(self, owner_id: UUID) -> bool:
        """Tell whether the viewer may hand the task on or delete it."""
        return self.manages or self.id == owner_id
