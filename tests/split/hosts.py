"""Hosts that share nothing but a network: namespaces where they are allowed, else groups of processes.

Each host reaches the servers over a line of its own; one that is lost takes its line along, and its
connections stay open on the other side, as when a machine loses power.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

from queue_core.embedded import find_server_binary
from tests.conftest import wait_until
from tests.postgres import PostgresServer
from tests.split.deployment import ROOT, free_port

#: Of the lines of this process: others may have hosts at the same time.
_NET = f"10.{64 + os.getpid() // 250 % 128}.{os.getpid() % 250}"


class Host:
    """One host, with a home of its own.

    Args:
        name: one letter.
        number: tells its line from the others'.
        folder: its home.
        isolated: whether it is a network namespace.
    """

    def __init__(self, name: str, number: int, folder: Path, *, isolated: bool) -> None:
        self.name, self.folder = name, folder
        folder.mkdir()
        self._namespace = f"tm{os.getpid()}{name}" if isolated else None
        self._processes: list[subprocess.Popen[bytes]] = []
        #: Where it reaches the servers.
        self.servers = f"{_NET}.{4 * number + 1}" if isolated else "127.0.0.1"
        if self._namespace:
            line, here = f"tm{os.getpid()}{name}", f"{_NET}.{4 * number + 2}/30"
            _ip("netns", "add", self._namespace)
            _ip("link", "add", line, "type", "veth", "peer", "name", "eth0", "netns", self._namespace)
            _ip("address", "add", f"{self.servers}/30", "dev", line)
            _ip("link", "set", line, "up")
            _ip("-n", self._namespace, "address", "add", here, "dev", "eth0")
            _ip("-n", self._namespace, "link", "set", "eth0", "up")

    def start(self, command: list[str], variables: Mapping[str, str]) -> None:
        """Start a program of ours on it."""
        own = {
            name: value for name, value in os.environ.items() if not name.startswith(("REDIS_", "TUTORMAX_"))
        }
        environment = {**own, "PYTHONPATH": str(ROOT), "TUTORMAX_HOME": str(self.folder), **variables}
        inside = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        with (self.folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [*inside, sys.executable, *command],
                    cwd=self.folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def lose(self) -> None:
        """Power off: all its processes end at once, and its line is gone."""
        if self._namespace:
            # The line first: no process's end reaches the servers.
            _ip("link", "delete", self._namespace)
        for process in self._processes:
            with suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid)
                for one in [*family.children(recursive=True), family]:
                    one.kill()
            process.wait()
        if self._namespace:
            _ip("netns", "delete", self._namespace)
        self._namespace, self._processes = None, []


def namespaces_allowed() -> bool:
    """Whether this process may make network namespaces, and the lines between them."""
    name = f"tm{os.getpid()}?"[:-1] + "t"
    try:
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    except (OSError, subprocess.CalledProcessError):
        return False
    finally:
        with suppress(OSError, subprocess.CalledProcessError):
            _ip("netns", "delete", name)
    return True


@contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[Host, Host]]:
    """Hosts ``a`` and ``b``; what is left of them at the end is lost."""
    isolated = namespaces_allowed()
    with ExitStack() as stack:
        hosts = []
        for number, name in enumerate("ab"):
            host = Host(name, number, folder / name, isolated=isolated)
            stack.callback(host.lose)
            hosts.append(host)
        yield hosts[0], hosts[1]


@contextmanager
def reachable_redis(folder: Path, hosts: tuple[Host, Host]) -> Iterator[int]:
    """A server on every host's line; gives its port."""
    folder.mkdir()
    port = free_port()
    addresses = sorted({"127.0.0.1", *(host.servers for host in hosts)})
    command = [str(find_server_binary()), "--port", str(port), "--bind", *addresses, "--protected-mode", "no"]
    command += ["--dir", str(folder), "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: b"Ready to accept" in (folder / "log").read_bytes(), 30, "Redis")
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def reachable_postgres(folder: Path, hosts: tuple[Host, Host]) -> Iterator[PostgresServer]:
    """A server on every host's line."""
    addresses = ",".join(sorted({"127.0.0.1", *(host.servers for host in hosts)}))
    with PostgresServer(folder, f"listen_addresses={addresses}") as server:
        with (folder / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {_NET}.0/24 scram-sha-256\n")
        server.execute("SELECT pg_reload_conf()")
        yield server


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
