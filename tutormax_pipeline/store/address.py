"""Whether a database's address says what its writer meant, and how to show it without its password."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tutormax_pipeline.store.errors import StoreError

_HOW = (
    "TUTORMAX_STORE_URL: cannot be read; write sqlite:///path/to/file.db or "
    "postgresql://user:password@host/database, any of :/?#[]@% in the password as %3A and so on, "
    "the port as a number"
)


def read_address(url: str) -> URL:
    """The parts of an address.

    Raises:
        StoreError: it cannot be read, or a part of its password would pass for its host. Says nothing of it.
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        # Not its own words: they quote parts of the password.
        raise StoreError(_HOW) from None
    if any("@" in part for part in (address.host or "", _database(address))):
        raise StoreError(_HOW)
    if address.port is not None and not 1 <= address.port <= 65_535:
        raise StoreError("TUTORMAX_STORE_URL: its port must be from 1 to 65535")
    return address


def shown(url: str) -> str:
    """An address without its secrets.

    Raises:
        StoreError: it cannot be read.
    """
    address = read_address(url)
    hidden = {name: "***" for name in ("password", "sslpassword") if name in address.query}
    return address.update_query_dict(hidden).render_as_string(hide_password=True)


def _database(address: URL) -> str:
    # A SQLite file's name may have one.
    return "" if address.get_backend_name() == "sqlite" else address.database or ""
