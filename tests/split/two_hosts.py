"""Workers on two hosts drain one channel, one host is lost in the middle, and every message is there once.

python -m tests.split.two_hosts --messages 200000          # make two-hosts
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click

from tests.conftest import patiently, wait_until
from tests.split.hosts import Host, reachable_postgres, reachable_redis, two_hosts
from tests.split.pipeline import SESSIONS, SOON_SECONDS, Pipeline

_WORKERS = 2
#: Idle for longer, what the lost host held is taken over.
_TAKEN_OVER_AFTER_SECONDS = 3
_STORE_TIMEOUT_SECONDS = 3
_WORKER = """
import sys
from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store

name, batch_size = sys.argv[1:]
with RedisClient(RedisSettings.load()) as client, Store.open(PipelineSettings.load().store_address) as store:
    limits = DrainLimits(batch_size=int(batch_size), linger_seconds=600)
    drain(MessageConsumer(client, name), store, QueueChannels.SESSIONS, run_id=name, limits=limits)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it.

    Attributes:
        by_host: messages that the workers of each host stored.
        before_loss: messages that were settled when the host was lost.
        seconds: from the first message published until all were settled.
    """

    by_host: dict[str, int]
    before_loss: int
    seconds: float


def lose_a_host_in_the_middle(folder: Path, messages: int, batch_size: int) -> Outcome:
    """Drain, lose host ``a`` when a third is settled, and check every message.

    Raises:
        AssertionError: a message is missing or there twice, or the books do not balance.
    """
    with (
        two_hosts(folder) as hosts,
        reachable_redis(folder / "redis", hosts) as redis_port,
        reachable_postgres(hosts) as postgres,
    ):
        database = postgres.new_database()
        address = postgres.tcp_url(database)
        pipeline = Pipeline(f"redis://127.0.0.1:{redis_port}", "tutormax", address)
        for host in hosts:
            _start_workers(host, redis_port, address, batch_size)
        with pipeline.client() as client:
            stream = client.keys.stream(SESSIONS)
            patiently(lambda: _readers(client.redis, stream) == 2 * _WORKERS, SOON_SECONDS, "every worker")
        began, patience_seconds = time.monotonic(), SOON_SECONDS + messages / 1_000
        with ThreadPoolExecutor(1) as publisher:  # drains keep up with one publisher
            published = publisher.submit(pipeline.publish, messages)
            wait_until(lambda: pipeline.settled() >= messages // 3, patience_seconds, "a third", 0.02)
            hosts[0].lose()
            lost_at = pipeline.settled()
            published.result()
        assert lost_at < messages, "the host was lost too late"
        pipeline.assert_all_stored_once(patience_seconds)
        seconds = time.monotonic() - began
        by_host = dict.fromkeys("ab", 0)
        for worker, count in pipeline.stored_by().items():
            by_host[worker[0]] += count
        pipeline.store.close()
    return Outcome(by_host, lost_at, seconds)


def _start_workers(host: Host, redis_port: int, address: str, batch_size: int) -> None:
    variables = {
        "REDIS_URL": f"redis://{host.servers}:{redis_port}",
        "REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS": str(_TAKEN_OVER_AFTER_SECONDS),
        # The transaction that the lost host was in holds its locks for as long: nobody tells the database.
        "TUTORMAX_STORE_TIMEOUT_SECONDS": str(_STORE_TIMEOUT_SECONDS),
        "TUTORMAX_STORE_URL": address.replace("127.0.0.1", host.servers),
    }
    for number in range(_WORKERS):
        host.start(["-c", _WORKER, f"{host.name}{number}", str(batch_size)], variables)


def _readers(redis: object, stream: str) -> int:
    groups = redis.xinfo_groups(stream) if redis.exists(stream) else []  # type: ignore[attr-defined]
    return sum(int(group["consumers"]) for group in groups)


@click.command(help="Lose a host in the middle of a drain.")
@click.option("--messages", default=200_000, show_default=True)
@click.option("--batch-size", default=500, show_default=True)
def main(*, messages: int, batch_size: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tutormax-hosts-") as folder:
        done = lose_a_host_in_the_middle(Path(folder), messages, batch_size)
    click.echo(
        f"{messages:,} messages, each stored once, in {done.seconds:.1f} s: {done.by_host['a']:,} by the "
        f"host that was lost after {done.before_loss:,}, {done.by_host['b']:,} by the other."
    )


if __name__ == "__main__":
    main()
