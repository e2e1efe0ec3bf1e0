"""Alembic's entry: one transaction, one migrator at a time."""

import sqlalchemy as sa
from alembic import context

from taskflow_core.migrations.reflection import include
from taskflow_core.models import metadata

_LOCK = 0x7461736B666C6F77  # "taskflow"


def run() -> None:
    """Run the migrations that the command asked for."""
    engine = sa.create_engine(context.config.attributes["url"], poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=include,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    # closing the connection gives the lock back


run()
