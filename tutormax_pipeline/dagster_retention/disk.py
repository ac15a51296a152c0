"""How large Dagster's storage is, and giving back what SQLite's files no longer need."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import dagster as dg
import sqlalchemy as sa

from tutormax_pipeline.dagster_retention.storage import RUNLESS, index_connection

#: A file is written anew when this share of it is free: below, what comes next fills it again.
_FREE_SHARE = 0.25
#: Writing more anew than this takes seconds, in which nobody else can write.
_MOST_BYTES = 200_000_000
_WAIT_SECONDS = 2.0
_SQLITE = ("history/runs.db", "history/runs/index.db", f"history/runs/{RUNLESS}.db", "schedules/schedules.db")


def storage_bytes(instance: dg.DagsterInstance) -> int:
    """Bytes of the database, and of the files in the home of this process."""
    total = 0
    for path in Path(instance.root_directory).rglob("*"):
        with suppress(FileNotFoundError):  # SQLite's logs come and go
            total += path.stat().st_size
    with index_connection(instance) as connection:
        if connection.dialect.name == "postgresql":
            total += connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0
    return total


def compact(instance: dg.DagsterInstance) -> list[str]:
    """Shrink the files of SQLite that are largely empty; PostgreSQL's autovacuum needs no help.

    A file that somebody writes to just then is left for the next time.

    Returns:
        The files that were written anew, by their path in the home.
    """
    done = []
    for name in _SQLITE:
        path = Path(instance.root_directory) / name
        with suppress(sqlite3.OperationalError):
            if path.exists() and _shrink(path):
                done.append(name)
    return done


def _shrink(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as database:
        page, pages, free = (
            database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        if free < _FREE_SHARE * pages or page * (pages - free) > _MOST_BYTES:
            return False
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return True
