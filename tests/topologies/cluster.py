"""A Cluster of three primaries, and a replica of the one that has the keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from redis.crc import key_slot

from queue_core import RedisSettings
from tests.conftest import wait_until
from tests.topologies.processes import SECONDS, Processes, ServerProcess, free_port

SLOTS = 16_384
_TIMEOUT_MS = 1_000


class Cluster:
    """Three primaries with a third of the slots each; the first, which has our keys, has a replica too."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        self.tag = _tag_in_first_third()
        buses = [free_port() for _ in range(4)]
        self.members = [
            processes.start(
                folder / f"member-{n}",
                [
                    "cluster-enabled yes",
                    f"cluster-port {bus}",
                    f"cluster-node-timeout {_TIMEOUT_MS}",
                    "cluster-require-full-coverage no",
                    "appendonly yes",
                    'save ""',
                    "repl-diskless-sync-delay 0",
                ],
            )
            for n, bus in enumerate(buses)
        ]
        self.first, self.second, self.third, self.replica = self.members
        for n, member in enumerate(self.members[:3]):
            bounds = n * SLOTS // 3, (n + 1) * SLOTS // 3 - 1
            assert member.ask("CLUSTER", "ADDSLOTSRANGE", *bounds)
            assert member.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for member, bus in zip(self.members[1:], buses[1:], strict=True):
            assert self.first.ask("CLUSTER", "MEET", "127.0.0.1", member.port, bus)
        identity = self.first.ask("CLUSTER", "MYID")
        wait_until(
            lambda: self.replica.ask("CLUSTER", "REPLICATE", identity),
            SECONDS,
            "the replica to know its primary",
        )
        wait_until(self._is_ready, SECONDS, "the Cluster")

    def settings(self, **values: object) -> RedisSettings:
        """Settings with a key prefix of their own, whose keys the first member has."""
        options: dict[str, object] = {
            "cluster": True,
            "host": "127.0.0.1",
            "port": self.second.port,
            "key_prefix": f"{{{self.tag}}}test-{uuid4().hex[:12]}",
        }
        return RedisSettings.load(**(options | values))

    def owner(self, asked: ServerProcess) -> int:
        """Port of the member that has our keys, as one says."""
        slot = key_slot(self.tag.encode())
        found = [one for one in asked.ask("CLUSTER", "SLOTS") or [] if one[0] <= slot <= one[1]]
        return found[0][2][1] if found else 0

    def wait_for_owner(self, owner: ServerProcess) -> None:
        """Until the others, and it, say that it has our keys."""
        others = [self.second, self.third, owner]
        wait_until(lambda: all(self.owner(one) == owner.port for one in others), SECONDS, "another owner")

    def _is_ready(self) -> bool:
        for member in self.members:
            info = member.ask("CLUSTER", "INFO")
            if not info or "cluster_state:ok" not in info or "cluster_known_nodes:4" not in info:
                return False
            if len(member.ask("CLUSTER", "SLOTS")) != 3:
                return False
        role = self.first.ask("ROLE")
        return bool(role) and len(role[2]) == 1 and self.replica.ask("ROLE")[3] == "connected"


def _tag_in_first_third() -> str:
    return next(tag for tag in map(str, range(100)) if key_slot(tag.encode()) < SLOTS // 3 - 1)


@contextmanager
def running_cluster(binary: Path, folder: Path) -> Iterator[Cluster]:
    """One that is ready; at the end nothing of it is left."""
    with Processes(binary) as processes:
        yield Cluster(processes, folder)
