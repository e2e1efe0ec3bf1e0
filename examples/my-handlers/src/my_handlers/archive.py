"""Where invoices are kept: a folder, so that the example needs no server."""

import os
from pathlib import Path


class Archive:
    """Documents by name, in the folder that `MY_HANDLERS_ARCHIVE` names."""

    def __init__(self) -> None:
        self.folder = Path(os.environ.get("MY_HANDLERS_ARCHIVE", "archive"))

    @property
    def is_there(self) -> bool:
        """Whether the folder can be written to now; a network drive may come back."""
        return self.folder.is_dir()

    def keep(self, name: str, text: str) -> bool:
        """Keep a document once; tell whether the archive now has exactly this text under this name."""
        document = self.folder / f"{name}.json"
        try:
            with document.open("x") as new:
                new.write(text)
        except FileExistsError:
            return document.read_text() == text
        return True
