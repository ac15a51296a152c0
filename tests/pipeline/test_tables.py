"""What the migrations make is what the code describes, column by column."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Dialect, Table, insert, inspect
from sqlalchemy.exc import IntegrityError

from queue_core import Channel, QueueChannels
from tutormax_pipeline.records import record_class
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import LINEAGE, all_tables, record_table

pytestmark = pytest.mark.on_both_databases

TABLES = [
    "tutors",
    "sessions",
    "feedback",
    "message_ledger",
    "ledger_totals",
    "book_adjustments",
    "stream_sightings",
    "letter_archive",
    "dead_letters",
    "tutor_performance",
]


def described(table: Table, dialect: Dialect) -> list[tuple[str, str, bool, bool]]:
    """Name, type, whether it may be null and whether it belongs to the key, of each column."""
    return [
        (column.name, _type(column, dialect), bool(column.nullable), column.primary_key)
        for column in table.columns
    ]


def _type(column: Column[Any], dialect: Dialect) -> str:
    name = column.type.compile(dialect)
    # Two words of PostgreSQL for one type.
    return "DOUBLE PRECISION" if (name, dialect.name) == ("FLOAT(53)", "postgresql") else name


@pytest.mark.parametrize("name", TABLES)
def test_a_migrated_table_has_the_columns_of_the_code_in_their_order(store: Store, name: str) -> None:
    made = inspect(store.engine)
    key = made.get_pk_constraint(name)["constrained_columns"]
    columns = [
        (one["name"], one["type"].compile(store.engine.dialect), one["nullable"], one["name"] in key)
        for one in made.get_columns(name)
    ]
    assert columns == described(all_tables().tables[name], store.engine.dialect)


def test_a_migrated_database_differs_from_the_code_in_nothing_that_alembic_sees(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), all_tables()) == []
        assert set(inspect(connection).get_table_names()) == {*TABLES, "alembic_version"}


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_a_table_has_each_field_of_its_record_then_extra_then_the_lineage(channel: Channel) -> None:
    fields = record_class(channel).model_fields
    table = record_table(channel)
    assert [column.name for column in table.columns] == [*fields, "extra", *LINEAGE]
    assert [column.name for column in table.primary_key] == [channel.id_field]
    assert {name for name in fields if not table.c[name].nullable} == {
        name for name, field in fields.items() if field.is_required()
    }
    assert all(column.comment for column in table.columns)


def test_the_ledger_takes_one_row_an_entry_and_one_stored_row_a_message(store: Store) -> None:
    ledger = all_tables().tables["message_ledger"]

    def add(entry_id: str, outcome: str, message_id: str | None = "m", channel: str = "tutors") -> None:
        values = {"channel": channel, "entry_id": entry_id, "message_id": message_id, "outcome": outcome}
        at = datetime(2026, 11, 7, tzinfo=UTC)
        with store.engine.begin() as connection:
            connection.execute(insert(ledger).values(deliveries=1, run_id="r", recorded_at=at, **values))

    add("1-0", "stored")
    for entry_id in ("2-0", "3-0"):
        add(entry_id, "duplicate")
        add(entry_id, "dead_lettered", channel="sessions", message_id=None)
    add("1-0", "stored", channel="feedback")
    with pytest.raises(IntegrityError):
        add("4-0", "stored")
    with pytest.raises(IntegrityError):
        add("1-0", "duplicate")
