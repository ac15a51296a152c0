"""One folder, one server: the lock, and the port of last time."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from queue_core.embedded import RunningServer, running
from queue_core.errors import EmbeddedServerError
from tests.conftest import wait_until
from tests.embedded.conftest import StartServer, client, start_in_another_process


def test_a_second_start_on_the_same_folder_names_the_server_that_runs(
    start: StartServer, make: StartServer
) -> None:
    first = start()

    with pytest.raises(EmbeddedServerError, match=f"pid {first.pid}, port {first.port}"):
        make().start()

    assert client(first.port).ping()


def test_starting_the_same_server_twice_is_refused_and_leaves_it_running(start: StartServer) -> None:
    server = start()
    pid = server.pid

    with pytest.raises(EmbeddedServerError, match="already runs"):
        server.start()

    assert server.pid == pid
    assert client(server.port).ping()


def test_two_servers_run_side_by_side_on_two_folders(start: StartServer, tmp_path: Path) -> None:
    first, second = start(folder=tmp_path / "one"), start(folder=tmp_path / "two")

    assert client(first.port).ping()
    assert client(second.port).ping()
    assert first.port != second.port


def test_running_tells_which_server_holds_the_folder(start: StartServer, data_dir: Path) -> None:
    assert running(data_dir) is None

    server = start()
    assert running(data_dir) == RunningServer(pid=server.pid, port=server.port)

    server.stop()
    assert running(data_dir) is None


def test_the_folder_is_free_once_its_server_was_killed(start: StartServer, data_dir: Path) -> None:
    start().kill()

    assert running(data_dir) is None
    assert client(start().port).ping()


def test_a_server_that_died_by_itself_has_no_pid_or_port(start: StartServer) -> None:
    server = start()
    os.kill(server.pid, signal.SIGKILL)

    def gone() -> bool:
        try:
            return server.pid < 0
        except EmbeddedServerError:
            return True

    wait_until(gone)
    with pytest.raises(EmbeddedServerError, match="start it"):
        _ = server.url


def test_a_killed_starter_leaves_its_server_running_and_the_folder_held(
    make: StartServer, data_dir: Path, binary: Path | None
) -> None:
    starter, server = start_in_another_process(data_dir, binary)
    try:
        starter.kill()
        starter.wait()

        assert running(data_dir) == server
        assert client(server.port).ping()
        with pytest.raises(EmbeddedServerError, match=f"pid {server.pid}, port {server.port}"):
            make().start()
    finally:
        starter.kill()
        starter.wait()
        os.kill(server.pid, signal.SIGKILL)

    wait_until(lambda: running(data_dir) is None)
    make().start()


def test_a_port_that_is_taken_is_named(make: StartServer, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(EmbeddedServerError, match=rf"Port {port} .*Address already in use"):
            make(port=port).start()

    assert running(data_dir) is None


def test_a_port_that_is_given_is_used(start: StartServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free_in_a_moment:
        port = free_in_a_moment.getsockname()[1]

    server = start(port=port)

    assert server.port == port
    assert client(port).ping()


def test_another_server_on_the_port_is_not_taken_for_ones_own(
    start: StartServer, make: StartServer, tmp_path: Path
) -> None:
    other = start(folder=tmp_path / "other")

    with pytest.raises(EmbeddedServerError, match=f"Port {other.port} "):
        make(port=other.port).start()

    assert client(other.port).ping()


def test_a_restart_takes_the_port_of_last_time(start: StartServer) -> None:
    first = start()
    port = first.port
    with client(port) as connection:
        connection.ping()
        # Stopped while someone is connected, the system keeps the old connection for a minute (TIME_WAIT).
        first.stop()

    assert start().port == port


def test_a_restart_takes_another_port_if_the_one_of_last_time_is_taken(start: StartServer) -> None:
    first = start()
    port = first.port
    first.stop()

    with socket.create_server(("127.0.0.1", port)):
        second = start()

    assert second.port != port
    assert client(second.port).ping()


def test_a_damaged_record_costs_no_more_than_the_port_of_last_time(
    start: StartServer, data_dir: Path
) -> None:
    start().stop()
    (data_dir / "server.json").write_text('{"pid": 1')

    assert running(data_dir) is None
    assert client(start().port).ping()


def test_a_folder_that_cannot_be_made_is_named(make: StartServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "queue"

    with pytest.raises(EmbeddedServerError, match=f"{folder}: Not a directory. Choose"):
        make(folder=folder).start()
    with pytest.raises(EmbeddedServerError, match=f"{folder}: Not a directory. Choose"):
        running(folder)


def test_a_folder_with_spaces_quotes_and_letters_beyond_ascii_works(
    start: StartServer, tmp_path: Path
) -> None:
    server = start(folder=tmp_path / 'Zoë\'s "new" queue')

    assert client(server.port).ping()


def test_a_relative_folder_works(start: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    start(folder=Path("queue"))

    assert (tmp_path / "queue" / "appendonlydir").is_dir()


def test_a_lock_whose_holder_left_no_pid_is_an_error_not_a_free_folder(
    start: StartServer, data_dir: Path
) -> None:
    start()
    (data_dir / "server.json").write_text(json.dumps({"pid": None, "port": 6379}))

    with pytest.raises(EmbeddedServerError, match="left no pid"):
        running(data_dir)
