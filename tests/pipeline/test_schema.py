"""The tables are made once, by whoever comes first; where they cannot be, one line says so."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from queue_core import Channel, QueueChannels
from tutormax_pipeline.store import Store, StoreError, StoreUnavailableError, schema
from tutormax_pipeline.store.schema import Standing
from tutormax_pipeline.store.tables import all_tables

PROCESSES = 4
NOBODY = 65_534

#: Opens each database named on a line of its input, when the line comes.
OPENER = """
import sys
import alembic.autogenerate, alembic.command
from tutormax_pipeline.store import Store
for line in sys.stdin:
    try:
        Store.open(line.strip()).close()
        print("opened", flush=True)
    except Exception as error:
        print(repr(error), flush=True)
"""

#: Opens a database in its working directory, as a user with no rights of a superuser.
OPENER_WITHOUT_RIGHTS = f"""
import os
import alembic.autogenerate, alembic.command
from tutormax_pipeline.store import Store, StoreUnavailableError
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid({NOBODY})
    os.seteuid({NOBODY})
try:
    Store.open("sqlite:///store.db")
except StoreUnavailableError as error:
    print(error)
"""


def one_line_of(address: str, error: type[StoreError] = StoreUnavailableError) -> str:
    with pytest.raises(error) as caught:
        Store.open(address, timeout_seconds=0.05)
    assert type(caught.value) is error
    words = str(caught.value)
    assert "\n" not in words
    return words


def test_the_newest_revision_is_the_one_the_code_names() -> None:
    config = Config()
    config.set_main_option("script_location", str(resources.files("tutormax_pipeline.store") / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


def test_opening_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    def everything() -> list[object]:
        with store.engine.connect() as connection:
            return list(connection.execute(text("SELECT * FROM sqlite_master ORDER BY name")))

    before = everything()
    Store.open(f"sqlite:///{tmp_path}/store.db").close()
    assert everything() == before


def test_tables_of_newer_code_are_refused_in_one_line(store: Store, tmp_path: Path) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    words = one_line_of(f"sqlite:///{tmp_path}/store.db", StoreError)
    assert "9999" in words
    assert "newer version" in words
    assert "TUTORMAX_STORE_URL" in words


def test_a_channel_new_in_the_registry_gets_its_table_without_a_migration(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews = Channel("reviews", purpose="Reviews.", record="Feedback", id_field="feedback_id")
    monkeypatch.setattr(QueueChannels, "REVIEWS", reviews, raising=False)
    try:
        with Store.open(f"sqlite:///{tmp_path}/store.db") as again:
            assert again.row_count(reviews) == 0
            assert "reviews" in inspect(store.engine).get_table_names()
    finally:
        all_tables().remove(all_tables().tables["reviews"])


def test_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    line = [sys.executable, "-c", OPENER]
    openers = [subprocess.Popen(line, stdin=pipe, stdout=pipe, text=True) for _ in range(PROCESSES)]
    for number in range(25):
        for opener in openers:
            print(f"sqlite:///{tmp_path}/new-{number}/store.db", file=opener.stdin, flush=True)
        said = [opener.stdout.readline().strip() for opener in openers if opener.stdout]
        assert said == ["opened"] * PROCESSES
    for opener in openers:
        opener.communicate(timeout=30)


def test_a_place_that_cannot_be_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "store.db", tmp_path):
        words = one_line_of(f"sqlite:///{place}")
        assert str(place) in words
        assert "TUTORMAX_STORE_URL" in words


@pytest.mark.parametrize("there_already", [False, True], ids=["new file", "file of one's own"])
def test_a_folder_that_is_read_only_is_told_in_one_line(tmp_path: Path, there_already: bool) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    if there_already:
        Store.open(f"sqlite:///{folder}/store.db").close()
        if os.geteuid() == 0:
            os.chown(folder / "store.db", NOBODY, NOBODY)
    folder.chmod(0o555)
    line = [sys.executable, "-c", OPENER_WITHOUT_RIGHTS]
    said = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert said.stderr == ""
    (line,) = said.stdout.splitlines()
    assert "store.db" in line
    assert "TUTORMAX_STORE_URL" in line


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
def test_a_new_database_that_somebody_locks_is_told_in_one_line(tmp_path: Path, lock: str) -> None:
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute(f"BEGIN {lock}")
    assert "locked" in one_line_of(f"sqlite:///{tmp_path}/store.db")
    holder.close()
    Store.open(f"sqlite:///{tmp_path}/store.db", timeout_seconds=0.05).close()


def test_a_lock_at_which_sqlite_itself_does_not_wait_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(time, "sleep", lambda _: holder.rollback())
    Store.open(f"sqlite:///{tmp_path}/store.db").close()
    holder.close()


def test_a_file_that_is_no_database_is_told_in_one_line_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_text("tutor_id,name\n" * 1_000)
    assert "not a database" in one_line_of(f"sqlite:///{tmp_path}/store.db", StoreError)
    assert (tmp_path / "store.db").read_text() == "tutor_id,name\n" * 1_000


@pytest.mark.parametrize(
    "address",
    [
        "mysql://user:hunter2@host/db",
        "postgres://user:hunter2@host/db",
        "postgresql+psycopg2://u:hunter2@h/db",
    ],
)
def test_a_database_or_driver_that_is_not_known_is_refused_with_what_to_write(address: str) -> None:
    words = one_line_of(address, StoreError)
    assert "TUTORMAX_STORE_URL" in words
    assert "postgresql://" in words
    assert "hunter2" not in words


def test_a_password_among_the_options_of_an_address_is_not_shown() -> None:
    address = "postgresql://user@127.0.0.1:1/db?password=hunter2&sslpassword=hunter2"
    assert "hunter2" not in one_line_of(address)


def test_where_the_driver_of_postgresql_is_missing_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for name in ("postgres", "postgres_batch", "postgres_connection"):
        monkeypatch.delitem(sys.modules, f"tutormax_pipeline.store.{name}", raising=False)
    assert "tutormax-pipeline[postgres]" in one_line_of("postgresql://user@host/db", StoreError)


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_the_tables_of_every_revision_are_migrated_on_postgresql_too(
    own_postgres_url: str, revision: str
) -> None:
    with Store(own_postgres_url) as store:
        with store.engine.begin() as connection:
            config = Config()
            config.set_main_option(
                "script_location", str(resources.files("tutormax_pipeline.store") / "migrations")
            )
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        assert store.revision() == (revision, Standing.BEHIND)
        store.upgrade()
        assert store.revision() == (schema.HEAD, Standing.UP_TO_DATE)
        with store.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), all_tables()) == []


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/home/store.db") as store, store.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        files = list((tmp_path / "home").iterdir())
        assert {file.name for file in files} >= {"store.db", "store.db-wal"}
        assert {file.stat().st_mode & 0o077 for file in (tmp_path / "home", *files)} == {0}
