"""The store: whether it is written safely, readable by its owner alone, and whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import text

from tutormax_pipeline.doctor import postgres_tables
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.errors import store_errors

#: Synchronous modes in which a commit is on disk once it returns: FULL and EXTRA.
_SAFE = (2, 3)


def findings(store: Store, *, deep: bool) -> Iterator[Finding]:
    """Everything that is wrong with the store.

    Args:
        store: the store.
        deep: also read it whole, for damage.

    Raises:
        StoreUnavailableError: it is away.
    """
    if store.engine.dialect.name == "postgresql":
        yield from postgres_tables.findings(store)
        return
    yield from _safety(store)
    yield from _privacy(store)
    if deep:
        yield from _damage(store)


def database_file(store: Store) -> Path | None:
    """The file of the store; None where it has none."""
    name = store.engine.url.database
    if store.engine.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    return Path(name)


def _safety(store: Store) -> Iterator[Finding]:
    mode, synchronous = _pragma(store, "journal_mode"), _pragma(store, "synchronous")
    if mode != "wal":
        yield Finding(
            "journal_mode",
            Severity.WARNING,
            f"The store is not in WAL mode ({mode}): analysts who read it hold up drains.",
            "Put the file on a local disk (TUTORMAX_STORE_URL): network file systems refuse WAL.",
        )
    if synchronous not in _SAFE:
        yield Finding(
            "synchronous",
            Severity.ERROR,
            f"The store does not wait for the disk (synchronous {synchronous}): a power cut loses rows that "
            "were acknowledged.",
            "Remove the setting from TUTORMAX_STORE_URL.",
        )


def _privacy(store: Store) -> Iterator[Finding]:
    file = database_file(store)
    if file is None:
        return
    # The log of what is not yet in the file holds the same data.
    files = [file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")]
    open_ones = [one for one in files if one.exists() and one.stat().st_mode & 0o077]
    if open_ones:
        names = " ".join(f"'{one}'" for one in open_ones)
        yield Finding(
            "store_permissions",
            Severity.WARNING,
            "Others on this machine can read the store, which holds personal data.",
            f"chmod 600 {names}",
        )


def _damage(store: Store) -> Iterator[Finding]:
    words = str(_pragma(store, "quick_check(1)"))
    if words != "ok":
        yield Finding(
            "damaged",
            Severity.ERROR,
            "The store's file is damaged.",
            f"Stop the drains, keep a copy, and restore a backup of it; then 'tutormax doctor --repair'. "
            f"SQLite says: {words.splitlines()[0]}",
        )


def _pragma(store: Store, name: str) -> Any:
    with store_errors(store.address), store.engine.connect() as connection:
        return connection.execute(text(f"PRAGMA {name}")).scalar()
