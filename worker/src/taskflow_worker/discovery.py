"""Finding handlers: every package that names itself under the entry point `taskflow.handlers`."""

from importlib.metadata import EntryPoint, entry_points

GROUP = "taskflow.handlers"


class HandlersBroken(Exception):
    """A handler package cannot be imported; the message names it and says why."""

    def __init__(self, entry: EntryPoint, cause: BaseException) -> None:
        super().__init__(
            f"Handlers {entry.name!r} ({GROUP} = {entry.value!r}) cannot be imported:"
            f" {type(cause).__name__}: {cause}"
        )


def load_handlers() -> None:
    """Import all handler packages, which registers what they declare. Raises `HandlersBroken`."""
    for entry in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        try:
            entry.load()
        except (Exception, SystemExit) as error:
            raise HandlersBroken(entry, error) from error
