"""Bringing the database's tables up to date: Alembic's revisions, then the tables of new channels."""

from __future__ import annotations

from enum import Enum
from importlib import resources
from typing import NamedTuple

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.schema import SetColumnComment, SetTableComment

from tutormax_pipeline.store.database import PURPOSE, Purpose
from tutormax_pipeline.store.errors import StoreError, StoreNotReadyError
from tutormax_pipeline.store.tables import all_tables, message_ledger

#: Newest revision under ``migrations/versions``; known here so that opening a store that is up to
#: date does not load Alembic.
HEAD = "0004"


class Standing(Enum):
    """How the database's tables stand to this code."""

    UP_TO_DATE = "up to date"
    BEHIND = "behind"
    NEWER = "made by newer code"
    FOREIGN = "not this pipeline's, or without their revision"


class Revision(NamedTuple):
    """What tables a database has.

    Attributes:
        name: Alembic's revision; None where there are no tables yet.
        standing: how that stands to this code.
    """

    name: str | None
    standing: Standing


def revision(engine: Engine) -> Revision:
    """Look at the database's tables, and change nothing."""
    with engine.connect() as connection:
        name = _revision(connection)
        return Revision(name, _standing(connection, name))


def unfit(found: Revision, address: str) -> StoreError:
    """The error of tables that are not those of this code; ``address`` is where they are."""
    if found.standing is Standing.FOREIGN:
        return StoreError(
            f"The store at {address} has tables of the same names that are not this pipeline's, or whose "
            "revision was deleted from alembic_version. Give a database of its own in TUTORMAX_STORE_URL, or "
            "restore a backup of alembic_version."
        )
    if found.standing is Standing.NEWER:
        return StoreError(
            f"The tables of the store at {address} are at revision {found.name}, which this version ({HEAD}) "
            "does not know: they were made by a newer version. Install that, or give another "
            "TUTORMAX_STORE_URL."
        )
    has = "has no tables yet" if found.name is None else "has tables of an older version"
    return StoreNotReadyError(
        f"The store at {address} {has}. The first drain brings them up to date, or 'tutormax store upgrade'."
    )


def upgrade(engine: Engine, address: str) -> None:
    """Create or migrate the tables; does nothing to a database that is up to date.

    Args:
        engine: the database.
        address: where it is, for messages to people.

    Raises:
        StoreError: the database was made by newer code, or has tables that are not ours.
    """
    with engine.connect() as connection:
        if _revision(connection) == HEAD and not _missing(connection):
            return
    # One at a time: whoever comes second finds the work done.
    with engine.execution_options(**{PURPOSE: Purpose.ALONE}).begin() as connection:
        name = _revision(connection)
        if name != HEAD:
            found = Revision(name, _standing(connection, name))
            if found.standing is not Standing.BEHIND:
                raise unfit(found, address)
            _migrate(connection)
        all_tables().create_all(connection)
        _comment(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _standing(connection: Connection, name: str | None) -> Standing:
    if name == HEAD:
        return Standing.BEHIND if _missing(connection) else Standing.UP_TO_DATE
    there = set(inspect(connection).get_table_names())
    if name is None:
        return Standing.FOREIGN if there & set(all_tables().tables) else Standing.BEHIND
    if message_ledger.name not in there:  # every revision of ours has it
        return Standing.FOREIGN
    return Standing.BEHIND if _is_known(name) else Standing.NEWER


def _missing(connection: Connection) -> set[str]:
    return set(all_tables().tables) - set(inspect(connection).get_table_names())


def _is_known(name: str) -> bool:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - loaded only when there is something to migrate
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        return ScriptDirectory(_migrations()).get_revision(name) is not None
    except CommandError:
        return False


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _migrations())
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _migrations() -> str:
    return str(resources.files("tutormax_pipeline.store") / "migrations")


def _comment(connection: Connection) -> None:
    # For analysts, whose tools show them. The words are the code's, and so no migration's.
    if not connection.dialect.supports_comments:
        return
    for table in all_tables().sorted_tables:
        if table.comment:
            connection.execute(SetTableComment(table))
        for column in table.columns:
            if column.comment:
                connection.execute(SetColumnComment(column))
