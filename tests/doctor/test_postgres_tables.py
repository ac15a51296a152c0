"""What is wrong with a store on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.postgres import PostgresServer
from tutormax_pipeline.doctor import tables
from tutormax_pipeline.findings import Severity
from tutormax_pipeline.store import Store

#: What the tests' own server is like: not durable, and its log quotes rows, as by default.
AS_IT_IS = ["synchronous", "server_log"]


Changed = Callable[[str, str], str]


@pytest.fixture
def changed(postgres: PostgresServer, postgres_database: str, postgres_url: str) -> Iterator[Changed]:
    """Changes the database, and undoes that; returns its address."""
    undoing: list[str] = []

    def execute(statement: str) -> None:
        # What changes the database as a whole is said from outside of it.
        place = "postgres" if "{0}" in statement else postgres_database
        postgres.execute(statement.format(postgres_database), place)

    def change(statement: str, undo: str) -> str:
        undoing.append(undo)
        execute(statement)
        return postgres_url

    yield change
    for statement in undoing:
        execute(statement)


def checks(url: str) -> list[str]:
    with Store(url) as store:
        return [one.check for one in tables.findings(store, deep=True)]


def test_a_server_that_does_not_wait_for_the_disk_is_found(postgres_url: str) -> None:
    with Store(postgres_url) as store:
        found, note = tables.findings(store, deep=False)
        assert tables.database_file(store) is None
    assert (found.check, found.severity, note.severity) == ("synchronous", Severity.ERROR, Severity.NOTE)
    assert "fsync=off" in found.summary
    assert checks(postgres_url) == AS_IT_IS


def test_a_connection_of_ones_own_machine_needs_no_encryption(
    postgres: PostgresServer, postgres_database: str, postgres_url: str
) -> None:
    assert checks(postgres.tcp_url(postgres_database)) == AS_IT_IS


def test_commits_that_are_not_waited_for_are_found(changed: Changed) -> None:
    url = changed(
        "ALTER DATABASE {0} SET synchronous_commit = off", "ALTER DATABASE {0} RESET synchronous_commit"
    )
    with Store(url) as store:
        (found, *_) = tables.findings(store, deep=False)
    assert "synchronous_commit=off" in found.summary


def test_a_store_that_can_only_be_read_is_found(changed: Changed) -> None:
    setting = "default_transaction_read_only"
    url = changed(f"ALTER DATABASE {{0}} SET {setting} = on", f"ALTER DATABASE {{0}} RESET {setting}")
    assert checks(url) == ["read_only", *AS_IT_IS]


def test_a_table_that_everybody_can_read_is_named(changed: Changed) -> None:
    url = changed("GRANT SELECT ON tutors TO PUBLIC", "REVOKE SELECT ON tutors FROM PUBLIC")
    with Store(url) as store:
        found = {one.check: one for one in tables.findings(store, deep=False)}
    assert found["store_permissions"].remedy.startswith("As their owner: REVOKE ALL ON tutors FROM PUBLIC")


def test_an_encoding_without_every_character_is_found(postgres: PostgresServer) -> None:
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        assert "encoding" in checks(postgres.url("latin"))
    finally:
        postgres.execute("DROP DATABASE latin WITH (FORCE)")
