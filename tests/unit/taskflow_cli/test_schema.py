"""The quick look at the newest revision."""

from taskflow_cli.local.schema import newest_revision
from taskflow_core import migrations


def test_the_names_of_revisions_tell_the_newest_as_alembic_does() -> None:
    assert newest_revision() == migrations.head()
