"""A store that is opened to look at it: nothing is made, migrated or written, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from queue_core import QueueChannels
from tutormax_pipeline.store import Store, StoreError, StoreNotReadyError, StoreUnavailableError
from tutormax_pipeline.store.schema import HEAD

TUTORS = QueueChannels.TUTORS
CHANGES = {
    "deleted": "DROP TABLE ledger_totals",
    "older": "UPDATE alembic_version SET version_num = '0003'",
    "newer": "UPDATE alembic_version SET version_num = '9999'",
}


def change(url: str, statement: str) -> None:
    with Store(url) as store, store.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.on_both_databases
def test_what_is_there_is_read_and_nothing_can_be_written(store: Store, store_url: str) -> None:
    with Store.open_to_read(store_url) as reader:
        assert reader.row_count(TUTORS) == 0
        with pytest.raises(StoreError), reader.transaction("archive") as connection:
            connection.execute(text("DELETE FROM tutors"))
        with pytest.raises(StoreError), reader.transaction("archive") as connection:
            connection.execute(text("CREATE TABLE other (a INTEGER)"))
    assert "other" not in inspect(store.engine).get_table_names()


@pytest.mark.on_both_databases
@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("deleted", StoreNotReadyError, "older version"),
        ("older", StoreNotReadyError, "tutormax store upgrade"),
        ("newer", StoreError, "made by a newer version"),
    ],
)
def test_tables_of_other_code_are_left_as_they_are(
    store: Store, store_url: str, kind: str, error: type[StoreError], words: str
) -> None:
    change(store_url, CHANGES[kind])
    before = store.revision()
    with pytest.raises(error, match=words) as caught:
        Store.open_to_read(store_url)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert store.revision() == before
    change(store_url, f"UPDATE alembic_version SET version_num = '{HEAD}'")


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreNotReadyError, match="is not there yet"):
        Store.open_to_read(f"sqlite:///{tmp_path}/folder/store.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_stays_empty(own_postgres_url: str) -> None:
    with pytest.raises(StoreNotReadyError, match="has no tables yet"):
        Store.open_to_read(own_postgres_url)
    with Store(own_postgres_url) as store:
        assert inspect(store.engine).get_table_names() == []


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database, and longer than the header of one" * 9)
    with pytest.raises(StoreError) as caught:
        Store.open_to_read(f"sqlite:///{tmp_path}/store.db")
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreUnavailableError):
        Store.open_to_read(f"sqlite:///{tmp_path}")


def test_names_of_files_that_an_address_would_cut_are_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a #?%41 file.db".replace("?", "%3F")
    Store.open(url).close()
    Store.open_to_read(url).close()
    assert len({path.name.removesuffix("-wal").removesuffix("-shm") for path in tmp_path.iterdir()}) == 1
