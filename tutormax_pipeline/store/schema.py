"""Bringing the database's tables up to date: Alembic's revisions, then the tables of new channels."""

from __future__ import annotations

from importlib import resources

from sqlalchemy import Connection, Engine, inspect, text

from tutormax_pipeline.store.errors import StoreError
from tutormax_pipeline.store.tables import all_tables

#: Newest revision under ``migrations/versions``; known here so that opening a store that is up to
#: date does not load Alembic.
HEAD = "0003"


def upgrade(engine: Engine) -> None:
    """Create or migrate the tables; does nothing to a database that is up to date.

    Raises:
        StoreError: the database was made by newer code.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD and not _missing(connection):
            return
    with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
        revision = _revision(connection)
        if revision != HEAD:
            _migrate(connection, revision)
        all_tables().create_all(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _missing(connection: Connection) -> set[str]:
    return set(all_tables().tables) - set(inspect(connection).get_table_names())


def _migrate(connection: Connection, revision: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - loaded only when there is something to migrate
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(resources.files("tutormax_pipeline.store") / "migrations"))
    config.attributes["connection"] = connection
    try:
        if revision is not None:
            ScriptDirectory.from_config(config).get_revision(revision)
    except CommandError:
        raise StoreError(
            f"The store's tables are at revision {revision}, which this version ({HEAD}) does not know: "
            "they were made by a newer version. Install that, or give another TUTORMAX_STORE_URL."
        ) from None
    command.upgrade(config, "head")
