"""What each role may do: the one table.

`tasks:*` without more is about one's own tasks; `tasks:any` extends it to everybody's.
"""

from typing import Literal

from taskflow_core.models.users import Role

type Permission = Literal[
    "tasks:create",
    "tasks:read",
    "tasks:update",
    "tasks:delete",
    "tasks:assign",
    "tasks:any",
    "users:read",
    "users:manage",
]

_OWN_TASKS: frozenset[Permission] = frozenset(
    {"tasks:create", "tasks:read", "tasks:update", "tasks:delete", "tasks:assign"}
)
PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.USER: _OWN_TASKS,
    Role.MANAGER: _OWN_TASKS | {"tasks:any"},
    Role.ADMIN: _OWN_TASKS | {"tasks:any", "users:read", "users:manage"},
}
