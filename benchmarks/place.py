"""Where a run takes place: a folder of its own with a server of its own, both gone afterwards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from queue_core import RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer

#: Room for every message of a run; the default is for a queue that is drained meanwhile.
_QUEUE_MAXLEN = 10_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A folder and a server.

    Attributes:
        folder: for the stores; on the same disk as the server's data.
        url: address of the server.
    """

    folder: Path
    url: str

    @classmethod
    @contextmanager
    def open(cls, folder: Path | None = None) -> Iterator[Self]:
        """A new place inside ``folder``; where the system has its temporary files when not given."""
        with (
            tempfile.TemporaryDirectory(prefix="tutormax-bench-", dir=folder) as name,
            EmbeddedServer(Path(name) / "redis") as server,
        ):
            yield cls(Path(name), server.url)

    def client(self, key_prefix: str) -> RedisClient:
        """A client whose keys begin with ``key_prefix``."""
        return client_for(self.url, key_prefix)

    def store(self, name: str) -> Path:
        """Path of a store's file in this folder."""
        return self.folder / f"{name}.db"

    def remove_store(self, name: str) -> None:
        """Remove a store's file, its write-ahead log included."""
        for path in self.folder.glob(f"{name}.db*"):
            path.unlink()


def client_for(url: str, key_prefix: str) -> RedisClient:
    """A client with the default settings; no ``.env`` is read."""
    return RedisClient(
        RedisSettings.load(_env_file=None, url=url, key_prefix=key_prefix, queue_maxlen=_QUEUE_MAXLEN)
    )


def wait_until_quiet(client: RedisClient, timeout_seconds: float = 60) -> None:
    """Wait until the server has ended what it does on its own, such as rewriting its append-only file."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        now = client.redis.info("persistence")
        if not (now["aof_rewrite_in_progress"] or now["aof_rewrite_scheduled"]):
            return
        time.sleep(0.05)
