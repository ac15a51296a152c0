"""The tables are those of the code, made once, by whoever comes first."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from queue_core import Channel, QueueChannels
from tutormax_pipeline.store import Store, StoreError, StoreUnavailableError, schema
from tutormax_pipeline.store.tables import all_tables


def test_the_migrations_make_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, all_tables()) == []


def test_the_newest_revision_is_the_one_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("tutormax_pipeline.store") / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_tables_of_newer_code_are_refused_in_one_line(store: Store, tmp_path: Path) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"9999.*newer version") as caught:
        Store.open(f"sqlite:///{tmp_path}/store.db")
    assert "\n" not in str(caught.value)


def test_a_channel_new_in_the_registry_gets_its_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = Channel("reviews", purpose="Reviews.", record="Feedback", id_field="feedback_id")
    monkeypatch.setattr(QueueChannels, "REVIEWS", reviews, raising=False)
    try:
        schema.upgrade(store.engine)
        assert store.row_count(reviews) == 0
    finally:
        all_tables().remove(all_tables().tables["reviews"])


def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = "import sys; from tutormax_pipeline.store import Store; Store.open(sys.argv[1]).close()"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/new/store.db"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(one.communicate(timeout=60)[1], one.returncode) for one in both] == [(b"", 0)] * 3


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "store.db", tmp_path):
        with pytest.raises(StoreUnavailableError, match="TUTORMAX_STORE_URL") as caught:
            Store.open(f"sqlite:///{place}")
        assert "\n" not in str(caught.value)


def test_another_database_than_sqlite_is_refused_with_what_to_write() -> None:
    with pytest.raises(StoreError, match=r"TUTORMAX_STORE_URL.*sqlite:///"):
        Store.open("mysql://user:hunter2@host/db")


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/store.db").close()
    assert (tmp_path / "store.db").stat().st_mode & 0o077 == 0
