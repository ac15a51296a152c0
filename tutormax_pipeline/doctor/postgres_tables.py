"""A store on PostgreSQL: whether it is written safely, who can read it, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import text

from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.errors import store_errors
from tutormax_pipeline.store.tables import all_tables

#: Everything that is looked at, in one look.
_FACTS = """
SELECT current_setting('transaction_read_only') AS read_only,
  current_setting('fsync') AS fsync,
  current_setting('full_page_writes') AS full_page_writes,
  current_setting('synchronous_commit') AS synchronous_commit,
  current_setting('log_error_verbosity') AS log_error_verbosity,
  current_setting('server_encoding') AS encoding,
  (SELECT coalesce(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()) AS damaged,
  host(inet_server_addr()) AS address,
  (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted
"""

#: Tables that every role can read.
_READABLE = """
SELECT c.relname FROM pg_class AS c, aclexplode(c.relacl) AS granted
WHERE c.relname = ANY(:names) AND c.relnamespace = current_schema()::regnamespace
  AND granted.grantee = 0 AND granted.privilege_type = 'SELECT' ORDER BY 1
"""

#: What is not granted of what a drain, a review and the maintenance need.
_MISSING = """
SELECT string_agg(right_to, ', ' ORDER BY right_to) AS rights, quote_ident(relname) AS name FROM (
  SELECT c.relname, right_to
  FROM pg_class AS c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS right_to
  WHERE c.relname = ANY(:names) AND c.relnamespace = current_schema()::regnamespace
    AND NOT has_table_privilege(c.oid, right_to)
) AS missing GROUP BY relname ORDER BY relname
"""
_ROLE = """
SELECT quote_ident(current_user) AS name, quote_ident(current_database()) AS database,
  has_database_privilege(current_database(), 'TEMPORARY') AS may_make_temporary,
  sequence, has_sequence_privilege(sequence, 'USAGE') AS may_count
FROM pg_get_serial_sequence(to_regclass('book_adjustments')::text, 'id') AS sequence
"""


def findings(store: Store) -> Iterator[Finding]:
    """Everything that is wrong with the store.

    Raises:
        StoreUnavailableError: it is away.
    """
    with store_errors(store.address), store.engine.connect() as connection:
        facts = connection.execute(text(_FACTS)).one()
        names = {"names": list(all_tables().tables)}
        readable = list(connection.execute(text(_READABLE), names).scalars())
        missing = connection.execute(text(_MISSING), names).all()
        role = connection.execute(text(_ROLE)).one()
    yield from _safety(facts)
    yield from _rights(role, missing)
    yield from _privacy(facts, readable)
    if facts.damaged:
        yield Finding(
            "damaged",
            Severity.ERROR,
            f"PostgreSQL found {facts.damaged:,} damaged pages in the store.",
            "Stop the drains, and restore a backup of it; then 'tutormax doctor --repair'.",
        )


def _safety(facts: Any) -> Iterator[Finding]:
    if facts.read_only == "on":
        yield Finding(
            "read_only",
            Severity.ERROR,
            "The store cannot be written: it is a standby, or set to be read only.",
            "Give the primary's address in TUTORMAX_STORE_URL; of several, ?target_session_attrs=read-write "
            "finds it.",
        )
    unsafe = [
        f"{name}={getattr(facts, name)}"
        for name in ("fsync", "full_page_writes", "synchronous_commit")
        if getattr(facts, name) == "off"
    ]
    if unsafe:
        yield Finding(
            "synchronous",
            Severity.ERROR,
            f"The store does not wait for the disk ({', '.join(unsafe)}): a power cut loses rows that were "
            "acknowledged.",
            "Turn it on in the server's postgresql.conf.",
        )
    if facts.encoding != "UTF8":
        yield Finding(
            "encoding",
            Severity.WARNING,
            f"The store's encoding is {facts.encoding}: messages with other characters become dead letters.",
            "Make a database with ENCODING 'UTF8', and give it in TUTORMAX_STORE_URL.",
        )


def _rights(role: Any, missing: Sequence[Any]) -> Iterator[Finding]:
    tables: dict[str, list[str]] = {}
    for one in missing:
        tables.setdefault(one.rights, []).append(one.name)
    lacking = [f"{rights} on {', '.join(names)}" for rights, names in tables.items()]
    grants = [f"GRANT {rights} ON {', '.join(names)} TO {role.name};" for rights, names in tables.items()]
    if not role.may_make_temporary:
        lacking.append(f"TEMPORARY on database {role.database}")
        grants.append(f"GRANT TEMPORARY ON DATABASE {role.database} TO {role.name};")
    if role.may_count is False:
        lacking.append(f"USAGE on {role.sequence}")
        grants.append(f"GRANT USAGE ON SEQUENCE {role.sequence} TO {role.name};")
    if lacking:
        yield Finding(
            "store_rights",
            Severity.ERROR,
            f"The store's user {role.name} lacks rights, so that it cannot be written: {'; '.join(lacking)}.",
            f"As the owner: {' '.join(grants)}",
        )


def _privacy(facts: Any, readable: list[str]) -> Iterator[Finding]:
    if facts.address is not None and not _is_loopback(facts.address) and not facts.encrypted:
        yield Finding(
            "store_encryption",
            Severity.WARNING,
            "The store is connected to over the network without encryption; rows hold personal data.",
            "Add ?sslmode=verify-full&sslrootcert=FILE to TUTORMAX_STORE_URL.",
        )
    if readable:
        yield Finding(
            "store_permissions",
            Severity.WARNING,
            f"Everybody with an account can read {', '.join(readable)}: personal data.",
            f"As their owner: REVOKE ALL ON {', '.join(readable)} FROM PUBLIC; and grant SELECT to roles.",
        )
    if facts.log_error_verbosity != "terse":
        yield Finding(
            "server_log",
            Severity.NOTE,
            "Where the store refuses a row, its server's log quotes it.",
            "Set log_error_verbosity = terse in the server's postgresql.conf.",
        )


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")
