"""The embedded server, run for real: it answers, keeps what it was given, and ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
import redis

from queue_core.embedded import running
from queue_core.errors import EmbeddedServerError
from tests.conftest import wait_until
from tests.embedded.conftest import StartServer, client, start_in_another_process


def test_a_started_server_answers_at_its_url(start: StartServer) -> None:
    server = start()

    with redis.Redis.from_url(server.url, protocol=2) as connection:
        assert connection.ping()
        assert connection.info("server")["process_id"] == server.pid
    assert server.url == f"redis://127.0.0.1:{server.port}/0"


def test_a_with_statement_starts_and_stops_it(make: StartServer) -> None:
    with make() as server:
        pid = server.pid
        assert client(server.port).ping()

    assert not psutil.pid_exists(pid)


def test_it_writes_every_entry_to_disk_and_never_evicts(start: StartServer) -> None:
    with client(start().port) as connection:
        settings = connection.config_get("append*", "maxmemory-policy", "save")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["save"] == ""


def test_what_was_written_to_disk_survives_a_crash(start: StartServer) -> None:
    first = start()
    with client(first.port) as connection:
        connection.config_set("appendfsync", "always")
        for number in range(100):
            connection.xadd("lessons", {"number": number})

    first.kill()
    second = start()

    with client(second.port) as connection:
        numbers = [int(fields["number"]) for _, fields in connection.xrange("lessons")]
    assert numbers == list(range(100))


def test_what_was_written_survives_a_stop(start: StartServer) -> None:
    server = start()
    with client(server.port) as connection:
        connection.xadd("lessons", {"number": 1})

    server.stop()
    server.start()

    with client(server.port) as connection:
        assert connection.xlen("lessons") == 1


def test_a_start_waits_until_all_data_is_loaded(start: StartServer) -> None:
    first = start()
    with client(first.port) as connection:
        connection.eval("for i = 1, 200000 do redis.call('XADD', 'lessons', '*', 'n', i) end", 0)
    first.stop()

    second = start()

    with client(second.port) as connection:
        assert connection.xlen("lessons") == 200_000


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(data_dir: Path, binary: Path | None) -> None:
    starter, server = start_in_another_process(data_dir, binary)
    try:
        assert os.getpgid(server.pid) != os.getpgid(starter.pid)
        # The terminal sends it to the whole foreground process group.
        os.killpg(starter.pid, signal.SIGINT)
        starter.wait(10)

        assert running(data_dir) == server
        assert client(server.port).ping()
    finally:
        starter.kill()
        starter.wait()
        os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: running(data_dir) is None)


def test_no_process_is_left_after_a_stop(start: StartServer) -> None:
    server = start()
    pid = server.pid

    server.stop()
    server.stop()

    assert not psutil.pid_exists(pid)


def test_a_server_that_does_not_heed_the_stop_is_ended_by_force(start: StartServer) -> None:
    server = start()
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)

    server.stop(timeout_seconds=0.1)

    assert not psutil.pid_exists(pid)


def test_a_server_that_gives_up_is_quoted_and_leaves_the_folder_free(
    make: StartServer, start: StartServer, data_dir: Path
) -> None:
    start().stop()
    manifest = data_dir / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("not a manifest\n")

    with pytest.raises(EmbeddedServerError, match=r"gave up\. Its last words: .*manifest.*server\.log"):
        make().start()

    assert running(data_dir) is None
