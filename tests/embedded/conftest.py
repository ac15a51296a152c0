"""A server on a folder of the test's own, of each kind in turn; what was started is ended after the test."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core.embedded import EmbeddedServer, RunningServer
from tests.conftest import SERVER_KINDS, server_binary

StartServer = Callable[..., EmbeddedServer]


@pytest.fixture(params=SERVER_KINDS)
def binary(request: pytest.FixtureRequest) -> Path | None:
    """What is given for each kind: nothing for the one that is found by itself."""
    return None if request.param == "valkey" else server_binary(request.param)


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


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


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
        cwd=Path(__file__).parents[2],
    )
    assert starter.stdout is not None
    with starter.stdout:
        pid, port = map(int, starter.stdout.readline().split())
    return starter, RunningServer(pid=pid, port=port)
