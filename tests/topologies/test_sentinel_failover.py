"""A primary dies while messages are published and drained: what its replica has is not lost, nor doubled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from sqlalchemy import func, select

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.errors import ConfigurationError, NotReplicatedError, QueueUnavailableError
from queue_core.monitor import snapshot
from tests.conftest import server_binary, wait_until
from tests.queue.conftest import in_background
from tests.topologies.processes import SECONDS, Processes
from tests.topologies.sentinels import SentinelGroup, is_primary, sentinel_group
from tutormax_pipeline import books
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import message_ledger

TUTORS = QueueChannels.TUTORS
#: How long after a new primary is there a drain must have gone on.
RESUMES_SECONDS = 10


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    """One of the test's own, for it is broken."""
    with sentinel_group(server_binary("valkey"), tmp_path / "group") as group:
        yield group


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield store


def tutor(number: int) -> dict[str, object]:
    return {"tutor_id": f"T{number:05d}", "name": "x"}


class SteadyPublisher:
    """Publishes small batches until it is told to stop; what was refused is published again under its id."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self.confirmed: list[str] = []
        self.failures = 0
        self.stop = threading.Event()

    def run(self) -> None:
        with RedisClient(self._settings) as client:
            publisher, number = MessagePublisher(client), 0
            while not self.stop.is_set():
                batch = [publisher.encode(TUTORS, tutor(number + n)) for n in range(20)]
                number += 20
                while not self.stop.is_set():
                    try:
                        publisher.publish_envelopes(TUTORS, batch)
                    except QueueUnavailableError:
                        self.failures += 1
                        time.sleep(0.05)
                    else:
                        self.confirmed += [message_id for message_id, _ in batch]
                        break


def stored(store: Store) -> Counter[str]:
    """How often each message was stored, by its id."""
    query = select(message_ledger.c.message_id).where(message_ledger.c.outcome == "stored")
    with store.engine.connect() as connection:
        return Counter(connection.scalars(query))


def settled(store: Store) -> int:
    """Entries in the ledger; they go on growing, for nobody is left to confirm what is published."""
    with store.engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(message_ledger)) or 0


def test_a_primary_that_dies_under_a_drain_costs_no_confirmed_message_and_doubles_none(
    group: SentinelGroup, store: Store
) -> None:
    settings = group.settings(wait_replicas=1, socket_timeout=2)
    steady = SteadyPublisher(settings)
    old, resumed_after = group.primary, []

    def fail_over() -> None:
        wait_until(lambda: len(steady.confirmed) > 2_000, SECONDS)
        old.kill()
        new = next(server for server in group.servers if server is not old)
        wait_until(lambda: is_primary(new), SECONDS, "a new primary")
        since, before = time.monotonic(), settled(store)
        wait_until(lambda: settled(store) > before, SECONDS, "the drain to go on")
        resumed_after.append(time.monotonic() - since)

    def fail_over_and_stop() -> None:
        try:
            fail_over()
        finally:
            steady.stop.set()

    limits = DrainLimits(batch_size=100, linger_seconds=SECONDS, outage_seconds=SECONDS)
    with (
        RedisClient(settings) as client,
        in_background(fail_over_and_stop) as failed,
        in_background(steady.run),
    ):
        stop = steady.stop.is_set
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=limits, stop=stop)
    assert failed == [None]
    assert len(report.outages) >= 1
    assert resumed_after[0] < RESUMES_SECONDS
    with RedisClient(settings) as client:
        drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending) == (0, 0)
    counts = stored(store)
    assert set(steady.confirmed) - set(counts) == set()
    assert set(counts.values()) == {1}
    assert store.row_count(TUTORS) == len(counts)


@contextmanager
def cut_off(group: SentinelGroup) -> Iterator[None]:
    """The replica gets nothing any more, and takes the primary's place at the end, once that is dead."""
    primary, replica = group.primary, group.replica
    replica.freeze()
    # What is on its way to a frozen process it would still find when it goes on.
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    wait_until(lambda: not primary.ask("ROLE")[2], SECONDS)
    yield
    primary.kill()
    replica.thaw()
    group.wait_for_failover(primary)


def test_what_no_replica_had_is_lost_and_the_books_say_so(group: SentinelGroup, store: Store) -> None:
    settings = group.settings(socket_timeout=1)
    with RedisClient(settings) as client:
        publisher = MessagePublisher(client)
        publisher.publish_batch(TUTORS, [tutor(n) for n in range(100)])
        wait_until(lambda: group.primary.ask("WAIT", 1, 1000) == 1, SECONDS)
        with cut_off(group):
            publisher.publish_batch(TUTORS, [tutor(n) for n in range(100, 150)])
            drain(MessageConsumer(client), store, TUTORS, run_id="r1", limits=DrainLimits(max_messages=110))
            assert books.look(client, store, TUTORS, datetime.now(UTC)).balanced
            careful = RedisClient(settings.model_copy(update={"wait_replicas": 1}))
            with careful, pytest.raises(NotReplicatedError, match=r"0 of 1 replicas.*REDIS_WAIT_REPLICAS"):
                MessagePublisher(careful).publish(TUTORS, tutor(150))
        wait_until(lambda: publisher_is_back(client), SECONDS)
        assert publisher.get_stream_info(TUTORS).entries_added == 100
        drain(MessageConsumer(client), store, TUTORS, run_id="r2")
        found = books.look(client, store, TUTORS, datetime.now(UTC))
        assert not found.balanced
        assert found.rewound
        assert [one.check for one in explain(found)] == ["stream_began_anew"]
    # 110 were stored before, of which the new primary still delivers the first 100 once more: harmless.
    assert set(stored(store).values()) == {1}
    assert store.row_count(TUTORS) == 110


def publisher_is_back(client: RedisClient) -> bool:
    try:
        return client.health_check().latency_ms > 0
    except QueueUnavailableError:
        return False


def test_a_planned_failover_is_followed_before_the_old_primary_knows_of_it(sentinels: SentinelGroup) -> None:
    new = sentinels.replica
    with RedisClient(sentinels.settings()) as client:

        def is_at_the_new_one() -> bool:
            return client.redis.info("server")["tcp_port"] == new.port

        assert not is_at_the_new_one()
        assert sentinels.sentinels[0].ask("SENTINEL", "FAILOVER", "mymaster")
        # The old one, once it knows, closes its clients' connections: no error means that it does not.
        wait_until(is_at_the_new_one, SECONDS, "the client to follow")


def test_closing_a_client_closes_its_connections_to_the_sentinels_too(sentinels: SentinelGroup) -> None:
    def connections() -> int:
        return sum(int(one.ask("INFO", "clients")["connected_clients"]) for one in sentinels.sentinels)

    before = connections()
    with RedisClient(sentinels.settings()) as client:
        assert client.health_check()
        assert connections() > before
    wait_until(lambda: connections() <= before, SECONDS, "the connections to be closed")


def test_sentinels_that_do_not_know_the_service_or_us_are_named(
    sentinels: SentinelGroup, tmp_path: Path
) -> None:
    with (
        RedisClient(sentinels.settings(sentinel_master="other")) as client,
        pytest.raises(ConfigurationError, match=r"REDIS_SENTINEL_MASTER: .*no service 'other'"),
    ):
        client.health_check()
    lines = [f"sentinel monitor mymaster 127.0.0.1 {sentinels.primary.port} 1", "requirepass right-one"]
    with Processes(server_binary("valkey")) as processes:
        guarded = processes.start(tmp_path / "guarded", lines, sentinel=True)
        for password in (None, "hunter2"):
            settings = sentinels.settings(sentinels=str(guarded.address), sentinel_password=password)
            with (
                RedisClient(settings) as client,
                pytest.raises(QueueUnavailableError, match="Check REDIS_SENTINEL_USERNAME") as caught,
            ):
                client.health_check()
            assert "hunter2" not in str(caught.value)
        settings = sentinels.settings(
            sentinels=f"127.0.0.1:1,{guarded.address}", sentinel_password="right-one"
        )
        with RedisClient(settings) as client:
            assert client.health_check()
    with (
        RedisClient(settings) as client,
        pytest.raises(QueueUnavailableError, match=r"no Sentinel answers.*REDIS_SENTINELS"),
    ):
        client.health_check()


def test_threads_that_look_up_the_primary_at_once_all_find_the_sentinel_that_lives(
    sentinels: SentinelGroup,
) -> None:
    # One of three that answers: whoever misses it has missed all.
    living = f"127.0.0.1:1,127.0.0.1:2,{sentinels.sentinels[0].address}"
    together = threading.Barrier(16)
    failures: list[str] = []

    def look_up(client: RedisClient) -> None:
        for _ in range(20):
            connection = client.redis.connection_pool.make_connection()
            together.wait(SECONDS)
            try:
                connection.connect()
            except redis.ConnectionError as error:
                failures.append(str(error))
            connection.disconnect()

    with RedisClient(sentinels.settings(sentinels=living, max_connections=1_000)) as client:
        threads = [threading.Thread(target=look_up, args=[client]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
