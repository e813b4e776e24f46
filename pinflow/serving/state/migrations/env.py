"""Alembic runs this for every command. The connection comes from `database.migrate`, never from a file."""

from __future__ import annotations

from alembic import context

from pinflow.serving.state.tables import metadata

# Dagster may keep its records in the same PostgreSQL database, under Alembic's own default name.
VERSION_TABLE = "pinflow_alembic_version"

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    # Dagster's tables are none of ours.
    include_name=lambda name, kind, _: kind != "table" or name in metadata.tables,
)
with context.begin_transaction():
    context.run_migrations()
