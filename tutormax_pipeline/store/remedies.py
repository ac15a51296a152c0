"""What a person can do about a database that does not work, told from its code or its driver's words."""

from __future__ import annotations

_LOCKED = (
    "It is locked: find by whom (SELECT pid, state, query FROM pg_stat_activity), or wait for longer: "
    "TUTORMAX_STORE_TIMEOUT_SECONDS."
)
_ROLE = "Check the user and the password in TUTORMAX_STORE_URL, and the server's pg_hba.conf."
_RIGHTS = "Let the owner grant it to the user of TUTORMAX_STORE_URL: 'tutormax doctor' gives the GRANT."
_MAKE_TABLES = (
    "Let the owner GRANT USAGE, CREATE ON that schema to the user of TUTORMAX_STORE_URL, or run "
    "'tutormax store upgrade' as the owner."
)
_MAKE_TEMPORARY = "Let the owner GRANT TEMPORARY ON that database to the user of TUTORMAX_STORE_URL."
_OPTIONS = "Correct what stands after ? in TUTORMAX_STORE_URL."
_NO_DATABASE = "Make the database (CREATE DATABASE), or give another in TUTORMAX_STORE_URL."
_READ_ONLY = (
    "It is a standby, or set to be read only: give the primary in TUTORMAX_STORE_URL; of several, "
    "?target_session_attrs=read-write finds it."
)
_NOBODY = "Check that it runs, and host and port in TUTORMAX_STORE_URL."
_NO_RIGHT = "42501"

#: What PostgreSQL's codes (SQLSTATE) begin with, the longer before the shorter.
_BY_CODE = (
    ("28", _ROLE),
    ("3D000", _NO_DATABASE),
    ("25006", _READ_ONLY),
    ("25P", "It took longer than TUTORMAX_STORE_TIMEOUT_SECONDS in the middle of a transaction; try again."),
    ("57014", _LOCKED),
    ("55P03", _LOCKED),
    ("53300", "Too many connections: raise its max_connections, or the limit of the role or the database."),
    ("53100", "Its disk is full: make room there, and try again."),
    ("53", "It is short of memory or disk: give it more, and try again."),
    ("57", "It is stopping or starting, or somebody ended the connection: try again in a moment."),
    ("58", "Its disk fails: its log names the error."),
    ("40", "Others were in the way, and nothing was written: try again."),
)
#: What the driver says where the server did not send a code: most failures to connect.
_BY_WORDS = (
    ("password authentication failed", _ROLE),
    ("no password supplied", _ROLE),
    ("no pg_hba.conf entry", _ROLE),
    ("too many connections", "Raise its max_connections, or the limit of the role or the database."),
    ("too many clients", "Raise its max_connections, or use fewer drains at once."),
    ("remaining connection slots", "Raise its max_connections, or use fewer drains at once."),
    ("permission denied for database", "GRANT CONNECT ON that database to the user of TUTORMAX_STORE_URL."),
    ('database "', _NO_DATABASE),
    ('role "', _ROLE),
    ("unrecognized configuration parameter", _OPTIONS),
    ("connection option", _OPTIONS),
    ("invalid sslmode", _OPTIONS),
    ("certificate", "Check sslrootcert, sslcert and sslmode after ? in TUTORMAX_STORE_URL, and their dates."),
    ("does not support SSL", "Remove sslmode after ? in TUTORMAX_STORE_URL, or let it speak TLS."),
    ("is starting up", "It is starting: try again in a moment."),
    ("is shutting down", "It is stopping: start it again."),
    ("session is read-only", _READ_ONLY),
    ("refused", _NOBODY),
    ("resolve", _NOBODY),
    ("not known", _NOBODY),
    ("timeout expired", _NOBODY),
    ("no answer within", _NOBODY),
    ("No such file", _NOBODY),
    (
        "server closed the connection",
        "It stopped, or somebody ended the connection: its log tells.",
    ),
)


#: Where a right is missing (42501), what it is missing for.
_BY_OBJECT = (
    ("for schema", _MAKE_TABLES),
    ("temporary tables", _MAKE_TEMPORARY),
    ("", _RIGHTS),
)


def remedy_for(code: str | None, words: str) -> str | None:
    """What to do, in a sentence; None where nothing better is known than to look at everything.

    Args:
        code: the server's SQLSTATE; None where it sent none.
        words: what it or its driver said.
    """
    if code is None:
        return next((remedy for part, remedy in _BY_WORDS if part in words), None)
    if code == _NO_RIGHT:
        return next(remedy for part, remedy in _BY_OBJECT if part in words)
    return next((remedy for start, remedy in _BY_CODE if code.startswith(start)), None)
