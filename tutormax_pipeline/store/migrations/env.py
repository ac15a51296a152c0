"""Alembic's entry point: migrate on the connection, and in the transaction, that it was given."""

from alembic import context

from tutormax_pipeline.store.tables import all_tables

context.configure(connection=context.config.attributes["connection"], target_metadata=all_tables())
context.run_migrations()
