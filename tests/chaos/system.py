"""The system under attack: server, proxy, store, and the processes that publish and drain."""

from __future__ import annotations

import heapq
import itertools
import shlex
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from queue_core import QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer, find_server_binary
from queue_core.monitor import ChannelSnapshot, snapshot
from tests.chaos.nursery import Nursery
from tests.chaos.plan import BATCH, MAX_BYTES, Plan
from tests.chaos.publisher_process import batches_acknowledged
from tests.chaos.tcp_proxy import TcpProxy
from tutormax_pipeline.store import Store

#: After so long a pending message may be taken over.
RECLAIM_SECONDS = 2.0
#: How long a program waits for an answer.
SOCKET_TIMEOUT_SECONDS = 1.0

#: Where the store's file really is; programs reach it through a link, which can be made to lead nowhere.
_STORE_FOLDER = "store-folder"
_QUEUE_MAXLEN = 20_000
#: Many more than the few that are usual: kills at random hit the same innocent message now and then, and
#: that must not look like a message that kills its process.
_MAX_RETRIES = 10

# Each write is on disk before it is acknowledged. With everysec a server that is killed may lose what it
# acknowledged in the last second (its log is written late while a sync is slow), and the account could not
# be exact.
_SERVER_OPTIONS = ("--appendfsync", "always")


class NotNowError(Exception):
    """A fault that cannot be made at this moment."""


class System:
    """Everything that runs, and the ways to get at it.

    Args:
        folder: empty; server, store, progress and crashes go there.
        plan: what is published.
        dice: decides whom a fault hits.
        drains: drain processes at a time.
        publishers: publisher processes at a time.
        batches: that each publisher is to publish.
        per_second: messages of each publisher; 0 is as many as it can.

    Attributes:
        longest_lock_seconds: longest time for which the store was locked from outside.
    """

    def __init__(
        self,
        folder: Path,
        plan: Plan,
        dice: Random,
        *,
        drains: int,
        publishers: int,
        batches: int,
        per_second: float = 0,
    ) -> None:
        self.plan, self.dice, self.folder = plan, dice, folder
        self.longest_lock_seconds = 0.0
        (folder / _STORE_FOLDER).mkdir()
        self.store_path = folder / _STORE_FOLDER / "store.db"
        self._lead_to(_STORE_FOLDER)
        Store.open(self.store_url).close()
        self.server = EmbeddedServer(folder / "server", binary=_binary(folder))
        self.server.start()
        self.proxy = TcpProxy(self.server.port)
        self.nursery = Nursery(folder)
        self._job = {
            "settings": self._settings(self.proxy.port),
            "store": self.store_url,
            "plan": asdict(plan),
            "batches": batches,
            "per_second": per_second,
        }
        self._batches = batches
        self.drains = [self._start_drain() for _ in range(drains)]
        self.publishers = [self._start_publisher(number) for number in range(publishers)]
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    @property
    def has_stored_each_channel(self) -> bool:
        """Whether the ledger has something of every channel."""
        with Store.open(self.store_url) as store:
            return all(any(store.outcome_counts(channel).values()) for channel in QueueChannels.all())

    @property
    def store_url(self) -> str:
        """Address of the store."""
        return f"sqlite:///{self.folder}/store/store.db"

    @property
    def batches_published(self) -> list[int]:
        """Of each publisher: batches of which every message is acknowledged."""
        return [batches_acknowledged(self._progress(number)) for number in range(len(self.publishers))]

    @property
    def messages_published(self) -> int:
        """Messages that are acknowledged."""
        return sum(self.batches_published) * BATCH

    @property
    def has_published(self) -> bool:
        """Whether every publisher is through with its share."""
        return all(done >= self._batches for done in self.batches_published)

    @contextmanager
    def client(self) -> Iterator[RedisClient]:
        """A connection straight to the server."""
        with RedisClient(RedisSettings.load(**self._settings(self.server.port))) as client:
            yield client

    @contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """A connection straight to the server for commands of an operator; a short patience."""
        retry = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.server.port, socket_timeout=SOCKET_TIMEOUT_SECONDS, retry=retry) as admin:
            yield admin

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it in so many seconds, or when everything is healed."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), action))

    def tend(self) -> None:
        """Do what is due; start anew whom somebody ended."""
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, action = heapq.heappop(self._later)
            try:
                action()
            except (redis.RedisError, NotNowError):
                self.later(0.2, action)
        self.drains = [one if one.is_running() else self._start_drain() for one in self.drains]
        for number, one in enumerate(self.publishers):
            if not one.is_running() and batches_acknowledged(self._progress(number)) < self._batches:
                self.publishers[number] = self._start_publisher(number)

    def heal(self) -> None:
        """Put everything right at once."""
        deadline = time.monotonic() + 60
        while self._later:
            self._later = [(0.0, order, action) for _, order, action in self._later]
            self.tend()
            assert time.monotonic() < deadline, "the server does not answer any more"

    def restart_server(self, end: Callable[[], None]) -> None:
        """End the server in the given way and start it again."""
        end()
        self.server.start()
        self.proxy.target_port = self.server.port

    def lock_store(self, seconds: float) -> None:
        """Hold the store's write lock for a while."""
        holder = sqlite3.connect(self.store_path, timeout=1, isolation_level=None)
        try:
            holder.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            holder.close()
            raise NotNowError("somebody holds the lock") from error
        since = time.monotonic()

        def release() -> None:
            holder.close()
            self.longest_lock_seconds = max(self.longest_lock_seconds, time.monotonic() - since)

        self.later(seconds, release)

    def hide_store(self, seconds: float) -> None:
        """Make the store's folder lead nowhere for a while: nobody can open the file anew."""
        self._lead_to("nowhere")
        self.later(seconds, lambda: self._lead_to(_STORE_FOLDER))

    def look(self) -> list[ChannelSnapshot]:
        """Every channel."""
        with self.client() as client:
            return [snapshot(client, channel) for channel in QueueChannels.all()]

    def stop_publishers(self, timeout_seconds: float) -> None:
        """Let each publisher bring its batch to an end, and start none anew."""
        self._batches = 0
        _terminate(self.publishers)
        _, alive = psutil.wait_procs(self.publishers, timeout_seconds)
        assert not alive, f"publishers did not end: {alive}"

    def stop_drains(self) -> None:
        """Let each drain bring its batch to an end."""
        _terminate(self.drains)
        _, alive = psutil.wait_procs(self.drains, 30)
        assert not alive, f"drains did not end: {alive}"

    def close(self) -> None:
        """End everything, in whatever state it is."""
        for one in (*self.drains, *self.publishers):
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self.nursery.close()
        self.proxy.close()
        self.server.kill()

    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _settings(self, port: int) -> dict[str, Any]:
        return {
            "url": f"redis://127.0.0.1:{port}/0",
            "key_prefix": self.plan.prefix,
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
            "max_retries": _MAX_RETRIES,
            "max_message_size_bytes": MAX_BYTES,
            "queue_maxlen": _QUEUE_MAXLEN,
            "worker_max_processing_time_seconds": RECLAIM_SECONDS,
        }

    def _lead_to(self, name: str) -> None:
        # Replaced as a whole: there is no instant at which somebody could make a new file in its place.
        new = self.folder / "store.new"
        new.symlink_to(name)
        new.replace(self.folder / "store")

    def _progress(self, publisher: int) -> Path:
        return self.folder / f"publisher-{publisher}.progress"

    def _start_drain(self) -> psutil.Process:
        return self.nursery.start("drain", self._job)

    def _start_publisher(self, number: int) -> psutil.Process:
        job = {**self._job, "publisher": number, "progress": str(self._progress(number))}
        return self.nursery.start("publisher", job)


def _terminate(processes: list[psutil.Process]) -> None:
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(signal.SIGCONT)
            one.terminate()


def _binary(folder: Path) -> Path:
    """The server with options of our own, as a program that the embedded server can start."""
    wrapper = folder / "server-with-options"
    words = shlex.join([str(find_server_binary()), "server.conf", *_SERVER_OPTIONS])
    wrapper.write_text(f"#!/bin/sh\nexec {words}\n")
    wrapper.chmod(0o755)
    return wrapper
