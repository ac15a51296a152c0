"""Trouble, each kind of it: one clear line, exit code 1, no traceback."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import SecretStr

from queue_core import MessagePublisher, QueueChannels
from queue_core.embedded import EmbeddedServer, running
from tests.cli.conftest import Command, Done
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.database import Purpose

RECORD = b'{"tutor_id": "T1", "name": "A"}\n'
AWAY = {"REDIS_URL": "redis://u:hunter2@127.0.0.1:1/0"}


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def arguments(command: str) -> list[str]:
    return {
        "status": ["status"],
        "publish": ["publish", "tutors", "-"],
        "drain": ["drain", "tutors"],
        "up": ["up", "--port", free_port()],
    }[command]


def assert_one_line(done: Done, words: str) -> None:
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.strip()]
    assert line.startswith("Error: ")
    assert words in line
    assert "Traceback" not in done.stdout
    assert "hunter2" not in done.stderr + done.stdout


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    """Nothing can be made below it, not even by root."""
    file = tmp_path / "file"
    file.touch()
    return file


@pytest.mark.parametrize("command", ["status", "publish", "drain", "up"])
def test_redis_is_not_there(process: Command, command: str) -> None:
    assert_one_line(
        process(*arguments(command), given=RECORD, **AWAY), "Redis at 127.0.0.1:1/0 is not available"
    )


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("guarded"), password=SecretStr("right")) as server:
        yield server


@pytest.mark.parametrize("command", ["status", "publish", "drain", "up"])
@pytest.mark.parametrize("user", ["", ":hunter2@", "hunter2:right@"], ids=["none", "wrong", "unknown user"])
def test_the_password_is_wrong(tutormax: Command, guarded: EmbeddedServer, command: str, user: str) -> None:
    url = guarded.url.replace("redis://", f"redis://{user}")
    done = tutormax(*arguments(command), given=RECORD, REDIS_URL=url)
    assert_one_line(done, "REDIS_PASSWORD")
    assert "refused access" in done.stderr


@pytest.mark.parametrize("command", ["status", "drain", "up"])
def test_the_home_cannot_be_written(tutormax: Command, a_file: Path, command: str) -> None:
    for home in (a_file, a_file / "home"):
        assert_one_line(tutormax(*arguments(command), TUTORMAX_HOME=str(home)), str(home))


@pytest.mark.parametrize("command", ["status", "drain", "up"])
def test_the_home_cannot_be_read_for_its_embedded_server(
    tutormax: Command, environment: dict[str, str], a_file: Path, command: str
) -> None:
    del environment["REDIS_URL"]
    assert_one_line(tutormax(*arguments(command), TUTORMAX_HOME=str(a_file / "home")), str(a_file))


@pytest.mark.parametrize("command", ["drain", "up"])
def test_dagsters_part_of_the_home_cannot_be_written(tutormax: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster").touch()
    assert_one_line(tutormax(*arguments(command)), f"{tmp_path}/home/dagster cannot be written")


@pytest.mark.parametrize("home", ["nowhere", "/nowhere/at-all"])
def test_dagster_home_is_no_folder(tutormax: Command, home: str) -> None:
    assert_one_line(tutormax("drain", "tutors", DAGSTER_HOME=home), f"DAGSTER_HOME: {home} is no folder.")


@pytest.mark.parametrize(
    ("command", "words"),
    [("status", "is not available"), ("drain", "cannot be written"), ("up", "cannot be written")],
)
def test_the_store_cannot_be_written(tutormax: Command, a_file: Path, command: str, words: str) -> None:
    done = tutormax(*arguments(command), TUTORMAX_STORE_URL=f"sqlite:///{a_file}/store.db")
    assert_one_line(done, f"{a_file}/store.db {words}")
    assert "TUTORMAX_STORE_URL" in done.stderr


@pytest.mark.parametrize("command", ["status", "drain", "up"])
def test_the_store_is_no_database(tutormax: Command, a_file: Path, command: str) -> None:
    a_file.write_text("a letter to a friend, and certainly no database\n" * 100)
    url = f"sqlite:///{a_file}"
    assert_one_line(tutormax(*arguments(command), TUTORMAX_STORE_URL=url), "file is not a database")


@pytest.mark.parametrize("command", ["status", "publish", "drain", "up"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_PORT", "x"),
        ("TUTORMAX_STORE_URL", "hunter2"),
        ("TUTORMAX_STORE_TIMEOUT_SECONDS", "soon"),
        ("TUTORMAX_DRAIN_MIN_MESSAGES", "0"),
    ],
)
def test_a_variable_is_wrong(tutormax: Command, command: str, name: str, value: str) -> None:
    assert_one_line(tutormax(*arguments(command), given=RECORD, **{name: value}), f"{name} (")


@pytest.mark.parametrize("command", ["status", "up"])
def test_the_database_is_locked(tutormax: Command, tmp_path: Path, command: str) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    with closing(sqlite3.connect(tmp_path / "new.db", isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        done = tutormax(*arguments(command), TUTORMAX_STORE_URL=url, TUTORMAX_STORE_TIMEOUT_SECONDS="0.1")
    assert_one_line(done, "database is locked")


def test_the_database_is_locked_for_a_drain(
    process: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publisher.publish(QueueChannels.TUTORS, {"tutor_id": "T", "name": "x"})
    with (
        Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store,
        store.engine.execution_options(purpose=Purpose.ALONE).begin(),
    ):
        done = process("drain", "tutors", TUTORMAX_STORE_TIMEOUT_SECONDS="0.1")
    assert_one_line(done, "database is locked")


@pytest.mark.parametrize("option", ["--port", "--redis-port"])
def test_a_port_is_taken_and_nothing_stays_behind(
    tutormax: Command, environment: dict[str, str], tmp_path: Path, option: str
) -> None:
    del environment["REDIS_URL"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = tutormax(*arguments("up"), option, str(port))
    assert_one_line(done, f"Port {port} on 127.0.0.1 cannot be had")
    assert running(tmp_path / "home" / "redis") is None


def test_up_that_gives_up_stops_the_server_that_it_started(
    process: Command, environment: dict[str, str], tmp_path: Path, a_file: Path
) -> None:
    del environment["REDIS_URL"]
    url = f"sqlite:///{a_file}/store.db"
    assert_one_line(process(*arguments("up"), TUTORMAX_STORE_URL=url), "cannot be written")
    assert (tmp_path / "home" / "redis" / "server.log").exists()
    assert running(tmp_path / "home" / "redis") is None


@pytest.mark.parametrize("name", ["logs", "up.json"])
def test_something_else_is_in_the_way_in_the_home(process: Command, tmp_path: Path, name: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if name == "logs":
        (home / name).touch()
    else:
        (home / name).mkdir()
    assert_one_line(process(*arguments("up")), str(home / name))
