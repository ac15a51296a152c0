"""The rights that a user of the store needs: the doctor names what is missing, and no more is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from queue_core import QueueChannels
from tests.postgres import PostgresServer
from tutormax_pipeline.doctor import tables
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store import Arrival, Store, StoreError

TUTORS = QueueChannels.TUTORS
MAKE_TEMPORARY = "TEMPORARY on database"


@pytest.fixture
def database(own_postgres_url: str) -> str:
    Store.open(own_postgres_url).close()
    return str(psycopg.conninfo.conninfo_to_dict(own_postgres_url)["dbname"])


@pytest.fixture
def least(postgres: PostgresServer, own_postgres_url: str, database: str) -> Iterator[Store]:
    """The store as one sees it who may read it and nothing else."""
    postgres.execute("CREATE ROLE drainer LOGIN", database)
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO drainer", database)
    postgres.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC", database)
    with Store(own_postgres_url.replace("postgres@", "drainer@")) as store:
        yield store
    postgres.execute("DROP OWNED BY drainer CASCADE", database)
    postgres.execute("DROP ROLE drainer", database)


def lacking(store: Store) -> list[Finding]:
    return [one for one in tables.findings(store, deep=False) if one.check == "store_rights"]


def test_a_user_that_cannot_write_is_found_and_the_grants_that_are_named_are_enough(
    postgres: PostgresServer, least: Store, database: str, arrival: Callable[..., Arrival]
) -> None:
    (found,) = lacking(least)
    assert found.severity is Severity.ERROR
    assert "user drainer lacks rights" in found.summary
    assert "DELETE, INSERT, UPDATE on book_adjustments, " in found.summary
    assert f"{MAKE_TEMPORARY} {database}" in found.summary
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}") for n in range(30)]
    with pytest.raises(StoreError, match="'tutormax doctor' gives the GRANT"):
        least.write(TUTORS, batch, "run-1")
    postgres.execute(found.remedy.removeprefix("As the owner: "), database)
    assert lacking(least) == []
    assert len(least.write(TUTORS, batch, "run-1")) == 30


def test_scratch_tables_that_may_not_be_made_are_found(
    postgres: PostgresServer, least: Store, database: str, arrival: Callable[..., Arrival]
) -> None:
    postgres.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO drainer", database)
    postgres.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO drainer", database)
    (found,) = lacking(least)
    assert found.remedy == f"As the owner: GRANT TEMPORARY ON DATABASE {database} TO drainer;"
    with pytest.raises(StoreError, match="GRANT TEMPORARY"):
        least.write(TUTORS, [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}") for n in range(30)], "run-1")
