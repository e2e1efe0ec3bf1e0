"""What can go wrong with other people's accounts."""

from taskflow_core.errors import Conflict, NotFound


class UserNotFound(NotFound):
    """Nobody with this id, or nobody that the caller may know of."""

    title = "There is no such user that you may see"


class LastAdmin(Conflict):
    """Without this person nobody could administer."""

    type = "last-admin"
    title = "This is the last active administrator; make somebody else one first"
