"""The schema's history (Alembic), and how it is applied.

Any number of migrators may start at once: they take turns at an advisory lock, and the second finds
nothing left to do.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

_HERE = Path(__file__).parent


def config(url: str) -> Config:
    """Return Alembic's configuration for the database at `url` (`postgresql://…`)."""
    settings = Config()
    settings.set_main_option("script_location", str(_HERE))
    settings.attributes["url"] = sqlalchemy_url(url)
    return settings


def sqlalchemy_url(url: str) -> str:
    """Return `url` with the driver that SQLAlchemy is to use."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema up to `revision`."""
    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision`; `base` empties it."""
    command.downgrade(config(url), revision)


def head() -> str:
    """Return the newest revision in the code."""
    revision = ScriptDirectory.from_config(config("postgresql://")).get_current_head()
    assert revision is not None  # noqa: S101 - this package has at least one
    return revision


def revisions() -> frozenset[str]:
    """Return all revisions in the code."""
    scripts = ScriptDirectory.from_config(config("postgresql://"))
    return frozenset(script.revision for script in scripts.walk_revisions())


def current(url: str) -> str | None:
    """Return the revision the database is at, or None for an empty one."""
    engine = create_engine(sqlalchemy_url(url))
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
