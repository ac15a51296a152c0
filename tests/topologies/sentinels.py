"""A primary, its replica and three Sentinels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from queue_core import RedisSettings
from tests.conftest import wait_until
from tests.topologies.processes import SECONDS, Processes, ServerProcess, free_port

_DOWN_MS = 500


class SentinelGroup:
    """Servers of which one is the primary, and the Sentinels that watch them."""

    def __init__(self, processes: Processes, folder: Path, more: Iterable[str] = ()) -> None:
        lines = [*more, "appendonly yes", "appendfsync everysec", 'save ""', "repl-diskless-sync-delay 0"]
        first = processes.start(folder / "server-0", lines)
        self.servers = [first]
        replica = [*lines, f"replicaof 127.0.0.1 {first.port}", "repl-timeout 5"]
        self.servers.append(processes.start(folder / "server-1", replica))
        # A Sentinel that sees no replica at its first look looks again only after ten seconds.
        wait_until(lambda: first.ask("ROLE")[2], SECONDS, "the replica to follow")
        ports = [free_port() for _ in range(3)]
        self.sentinels = [
            processes.start(
                folder / f"sentinel-{n}",
                _configuration(first.port, self.servers[1].port, ports, n),
                sentinel=True,
                port=port,
            )
            for n, port in enumerate(ports)
        ]
        wait_until(self._is_ready, SECONDS, "the Sentinels to know each other and the replica")

    @property
    def primary(self) -> ServerProcess:
        """Whom most Sentinels take for the primary."""
        ports = [answer[1] for one in self.sentinels if (answer := self._says(one))]
        port = max(set(ports), key=ports.count)
        return next(server for server in self.servers if server.port == int(port))

    @property
    def replica(self) -> ServerProcess:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def settings(self, **values: object) -> RedisSettings:
        """Settings with a key prefix of their own."""
        options: dict[str, object] = {
            "sentinels": ",".join(str(one.address) for one in self.sentinels),
            "key_prefix": f"test-{uuid4().hex[:12]}",
        }
        return RedisSettings.load(**(options | values))

    def wait_for_failover(self, old: ServerProcess) -> None:
        """Until another one is the primary, and says so."""

        def is_over() -> bool:
            new = self.primary
            return new is not old and is_primary(new)

        wait_until(is_over, SECONDS, "a failover")

    def _says(self, sentinel: ServerProcess) -> list[str] | None:
        return sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")

    def _is_ready(self) -> bool:
        role = self.primary.ask("ROLE")
        if not role or role[0] != "master" or len(role[2]) != 1:
            return False
        for sentinel in self.sentinels:
            info = sentinel.ask("INFO", "sentinel")
            if not info or info["master0"]["slaves"] != 1 or info["master0"]["sentinels"] != 3:
                return False
            if info["master0"]["status"] != "ok":
                return False
        link = self.replica.ask("INFO", "replication")
        return bool(link) and link["master_link_status"] == "up"


def _configuration(primary: int, replica: int, ports: list[int], number: int) -> list[str]:
    """A Sentinel that knows the others from the start: by themselves they find each other within seconds."""
    return [
        f"sentinel myid {number + 1:040x}",
        f"sentinel monitor mymaster 127.0.0.1 {primary} 2",
        f"sentinel down-after-milliseconds mymaster {_DOWN_MS}",
        "sentinel failover-timeout mymaster 3000",
        "sentinel parallel-syncs mymaster 1",
        f"sentinel known-replica mymaster 127.0.0.1 {replica}",
        *(
            f"sentinel known-sentinel mymaster 127.0.0.1 {port} {other + 1:040x}"
            for other, port in enumerate(ports)
            if other != number
        ),
    ]


def is_primary(server: ServerProcess) -> bool:
    """Whether a server takes itself for the primary."""
    role = server.ask("ROLE")
    return bool(role) and role[0] == "master"


@contextmanager
def sentinel_group(binary: Path, folder: Path, more: Iterable[str] = ()) -> Iterator[SentinelGroup]:
    """One that is ready, its servers with more lines of configuration; at the end nothing of it is left."""
    with Processes(binary) as processes:
        yield SentinelGroup(processes, folder, more)
