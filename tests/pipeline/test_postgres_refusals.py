"""Values that only PostgreSQL refuses: found, set aside, and quoted nowhere."""

from __future__ import annotations

import logging
import random
import string
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from queue_core import QueueChannels
from queue_core.outcomes import Outcome, Reason
from tests.pipeline.conftest import rows
from tests.pipeline.refusing import refusing
from tests.postgres import PostgresServer
from tutormax_pipeline.store import Arrival, Store, StoreError, StoreUnavailableError
from tutormax_pipeline.store.row_values import RowValues

TUTORS = QueueChannels.TUTORS
Make = Callable[..., Arrival]
SECRET = "Zq8Secret"
#: Longer than any index takes, and of no help to a compression.
LONG = SECRET + "".join(random.Random(1).choices(string.printable[:62], k=9_000))

TALKING = f"""CREATE FUNCTION talk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE WARNING 'about %', NEW; RAISE NOTICE 'about %', NEW;
  IF NEW.name = '{SECRET}' THEN RAISE EXCEPTION 'no % here', NEW.name; END IF; RETURN NEW; END $$;
CREATE TRIGGER talk BEFORE INSERT ON tutors FOR EACH ROW EXECUTE FUNCTION talk()"""

FIRST = f"""CREATE UNIQUE INDEX own ON tutors ((email = '{SECRET}')) WHERE email = '{SECRET}';
INSERT INTO tutors (tutor_id, name, email, message_id, entry_id, run_id, published_at, stored_at)
  VALUES ('first', 'x', '{SECRET}', '', '', '', now(), now())"""

CASES = {
    "a value out of range": (
        "ALTER TABLE tutors ALTER sessions_count TYPE smallint",
        "ALTER TABLE tutors ALTER sessions_count TYPE bigint",
        {"sessions_count": 99_999},
        "NumericValueOutOfRange",
    ),
    "a text too long for its column": (
        "ALTER TABLE tutors ALTER name TYPE varchar(5)",
        "ALTER TABLE tutors ALTER name TYPE text",
        {"name": SECRET},
        "StringDataRightTruncation",
    ),
    "a text too long for an index": (
        "CREATE INDEX own ON tutors (email)",
        "DROP INDEX own",
        {"email": LONG},
        "ProgramLimitExceeded",
    ),
    "a constraint": (
        f"ALTER TABLE tutors ADD CONSTRAINT own CHECK (name <> '{SECRET}')",
        "ALTER TABLE tutors DROP CONSTRAINT own",
        {"name": SECRET},
        "CheckViolation",
    ),
    "a second one of what is to be unique": (
        FIRST,
        "DELETE FROM tutors WHERE tutor_id = 'first'; DROP INDEX own",
        {"email": SECRET},
        "UniqueViolation",
    ),
    "a trigger that talks of it": (
        TALKING,
        "DROP FUNCTION talk CASCADE",
        {"name": SECRET},
        "RaiseException",
    ),
}


@pytest.mark.parametrize(("change", "undo", "values", "error"), CASES.values(), ids=CASES)
def test_a_value_that_only_the_database_refuses_is_found_and_quoted_nowhere(
    postgres: PostgresServer,
    postgres_database: str,
    postgres_url: str,
    arrival: Make,
    caplog: pytest.LogCaptureFixture,
    change: str,
    undo: str,
    values: dict[str, object],
    error: str,
) -> None:
    with Store.open(postgres_url) as store:
        postgres.execute(change, postgres_database)
        try:
            batch = [
                arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}", **(values if n in (3, 4) else {}))
                for n in range(9)
            ]
            with caplog.at_level(logging.DEBUG):
                settled = store.write(TUTORS, batch, "run-1")
            stored = [row["tutor_id"] for row in rows(store) if row["tutor_id"] != "first"]
        finally:
            postgres.execute(undo, postgres_database)
    refused = [one for one in settled if one.outcome is Outcome.DEAD_LETTERED]
    assert [one.arrival.entry.id for one in refused] == ["3-0", "4-0"]
    assert {one.rejection.reason for one in refused if one.rejection} == {Reason.REJECTED}
    assert {one.rejection.errors for one in refused if one.rejection} == {(f"database: {error}",)}
    assert stored == [f"T{n}" for n in range(9) if n not in (3, 4)]
    assert SECRET not in caplog.text
    assert "99999" not in caplog.text


def test_an_error_that_is_no_messages_fault_quotes_none_either(postgres_url: str, arrival: Make) -> None:
    with (
        Store.open(postgres_url) as store,
        refusing(store, "message_ledger"),
        pytest.raises(StoreError) as caught,
    ):
        store.write(TUTORS, [arrival("1-0", SECRET, name=SECRET)], "run-1")
    # What of it Dagster would show: the error, and the causes that it names.
    shown = "".join(traceback.format_exception(caught.value))
    assert f"{SECRET}," not in shown
    assert "Failing row" not in shown
    assert "CheckViolation" in shown


def test_an_outage_in_the_middle_of_a_copy_quotes_no_row(
    postgres: PostgresServer, postgres_url: str, arrival: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(postgres_url) as store:
        store.write(TUTORS, [arrival("1-0", "a")], "run-1")
        with store.engine.connect() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

        def rows_that_end_the_connection(values: RowValues, *given: Any) -> Iterator[Sequence[Any]]:
            for row in rows_of(values, *given):
                yield row
                if row[0] == "T30":
                    postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)")

        rows_of = RowValues.rows
        monkeypatch.setattr(RowValues, "rows", rows_that_end_the_connection)
        batch = [arrival(f"2-{n}", f"m{n}", tutor_id=f"T{n}", name=SECRET) for n in range(60)]
        with pytest.raises(StoreUnavailableError) as caught:
            store.write(TUTORS, batch, "run-1")
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert "COPY incoming_tutors, line" not in shown
