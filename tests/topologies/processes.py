"""Servers as plain processes, configured as one likes: Sentinels, replicas, members of a Cluster, TLS."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core.address import Address
from tests.conftest import wait_until

#: Generous: the machine may be busy.
SECONDS = 30


class ServerProcess:
    """One process in a folder of its own, listening on 127.0.0.1.

    Args:
        binary: the server.
        folder: is made for it.
        lines: of its configuration, beside address and port.
        sentinel: whether it runs as a Sentinel.
        port: TCP port; a free one when not given.
        tls: whether it speaks TLS, and nothing else.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        lines: Iterable[str] = (),
        *,
        sentinel: bool = False,
        port: int | None = None,
        tls: bool = False,
    ) -> None:
        folder.mkdir(parents=True)
        self.port = port or free_port()
        self._folder = folder
        ports = [f"tls-port {self.port}", "port 0"] if tls else [f"port {self.port}"]
        (folder / "server.conf").write_text(
            "\n".join(["bind 127.0.0.1", *ports, "daemonize no", "logfile server.log", *lines, ""])
        )
        self._command = [str(binary), "server.conf", *(["--sentinel"] if sentinel else [])]

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)

    @property
    def log(self) -> str:
        return (self._folder / "server.log").read_text()

    def start(self) -> None:
        """Start it, also once more after it was killed."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._listens, SECONDS, f"a server on port {self.port}")

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """It stands still: takes connections as the system does for it, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED, SECONDS)

    def thaw(self) -> None:
        """It goes on."""
        self._process.send_signal(signal.SIGCONT)

    def client(self, **options: object) -> redis.Redis:
        """A plain client of this one process, for the test's own looks."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=SECONDS,
            decode_responses=True,
            **options,
        )

    def ask(self, *command: object) -> object:
        """The answer to one command; None where it does not answer."""
        with suppress(redis.RedisError), self.client() as client:
            return client.execute_command(*command)
        return None

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.log
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


class Processes:
    """Starts processes of one kind of server; at the end of the block none of them is left."""

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._started: list[ServerProcess] = []

    def start(self, folder: Path, lines: Iterable[str] = (), **options: Any) -> ServerProcess:
        """One more; takes what ``ServerProcess`` does."""
        self._started.append(ServerProcess(self._binary, folder, lines, **options))
        self._started[-1].start()
        return self._started[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.thaw()
            process.kill()


#: Given out already: two servers that start at the same time must not get the same.
_given: set[int] = set()


def free_port() -> int:
    """A free port below 55,536, so that the bus of a Cluster's member fits 10,000 above it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_536 and port not in _given:
            _given.add(port)
            return port
