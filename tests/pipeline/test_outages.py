"""Redis or the store away while a drain runs: waited out within its budget, else a clear failure."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import AccessDeniedError, QueueUnavailableError
from queue_core.outcomes import Outcome
from queue_core.reclaim import reclaim
from tests.conftest import settings_for
from tests.pipeline.conftest import assert_books_balance, deliveries, letters, publish
from tests.pipeline.test_drain_trouble import at_turn
from tutormax_pipeline.batches import Batches
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.outage import Outage
from tutormax_pipeline.store import Store, StoreUnavailableError
from tutormax_pipeline.store.database import Purpose

TUTORS = QueueChannels.TUTORS
MESSAGES = 200


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path / "server")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_client(own_server: EmbeddedServer) -> Iterator[RedisClient]:
    with RedisClient(settings_for(own_server, socket_timeout=0.3)) as client:
        yield client


def drain_through(client: RedisClient, store: Store, trouble: Callable[[], object]) -> DrainReport:
    """Drain all messages; after the third batch the trouble begins."""
    publish(MessagePublisher(client), MESSAGES)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"junk"})
    limits = DrainLimits(batch_size=20, outage_seconds=30)
    return drain(MessageConsumer(client), store, TUTORS, run_id="r", limits=limits, stop=at_turn(4, trouble))


def later(seconds: float, action: Callable[[], object]) -> None:
    threading.Timer(seconds, action).start()


def assert_survived(report: DrainReport, client: RedisClient, store: Store) -> None:
    assert report.outcomes == {Outcome.STORED: MESSAGES, Outcome.DEAD_LETTERED: 1}
    assert (report.after.pending, report.after.waiting, len(report.outages)) == (0, 0, 1)
    assert deliveries(store) == {1}
    assert [letter[b"message"] for letter in letters(client)] == [b"junk"]
    assert_books_balance(client, store)


def test_a_server_that_is_killed_and_started_again(
    own_server: EmbeddedServer, own_client: RedisClient, store: Store
) -> None:
    def trouble() -> None:
        own_server.kill()
        later(0.3, own_server.start)

    assert_survived(drain_through(own_client, store, trouble), own_client, store)


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (("replicaof", "127.0.0.1", "1"), ("replicaof", "no", "one")),
        (("config", "set", "maxmemory", "1"), ("config", "set", "maxmemory", "0")),
    ],
    ids=["READONLY", "OOM"],
)
def test_a_server_that_answers_and_cannot_work(
    own_server: EmbeddedServer,
    own_client: RedisClient,
    store: Store,
    begin: tuple[str, ...],
    end: tuple[str, ...],
) -> None:
    with RedisClient(own_client.settings) as operator:

        def trouble() -> None:
            operator.redis.execute_command(*begin)
            later(0.3, lambda: operator.redis.execute_command(*end))

        report = drain_through(own_client, store, trouble)
    assert (report.outcomes[Outcome.STORED], report.outcomes[Outcome.DEAD_LETTERED]) == (MESSAGES, 1)
    assert_books_balance(own_client, store)


def test_answers_that_do_not_come(own_server: EmbeddedServer, own_client: RedisClient, store: Store) -> None:
    with RedisClient(own_client.settings) as operator:
        report = drain_through(
            own_client, store, lambda: operator.redis.execute_command("client", "pause", 1_000, "all")
        )
    assert_survived(report, own_client, store)


def test_a_store_that_is_locked_for_longer_than_its_patience(own_client: RedisClient, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        holder = store.engine.execution_options(purpose=Purpose.ALONE).connect()

        def trouble() -> None:
            holder.begin()
            later(0.5, holder.close)

        report = drain_through(own_client, store, trouble)
        assert_survived(report, own_client, store)


@pytest.mark.parametrize("budget_seconds", [0, 0.3])
def test_trouble_that_lasts_longer_than_the_budget_fails_in_one_line(
    own_server: EmbeddedServer, own_client: RedisClient, store: Store, budget_seconds: float
) -> None:
    publish(MessagePublisher(own_client), MESSAGES)
    limits = DrainLimits(batch_size=20, outage_seconds=budget_seconds)
    began = time.monotonic()
    with pytest.raises(QueueUnavailableError) as caught:
        drain(
            MessageConsumer(own_client),
            store,
            TUTORS,
            run_id="r",
            limits=limits,
            stop=at_turn(4, own_server.kill),
        )
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began >= budget_seconds
    own_server.start()
    reclaim(own_client, TUTORS, min_idle_ms=0)
    drain(MessageConsumer(own_client), store, TUTORS, run_id="r2")
    assert store.row_count(TUTORS) == MESSAGES
    assert_books_balance(own_client, store)


def test_a_stop_ends_the_waiting(own_server: EmbeddedServer, own_client: RedisClient, store: Store) -> None:
    publish(MessagePublisher(own_client), 10)
    own_server.kill()
    began = time.monotonic()
    with pytest.raises(QueueUnavailableError):
        drain(
            MessageConsumer(own_client),
            store,
            TUTORS,
            run_id="r",
            limits=DrainLimits(outage_seconds=60),
            stop=lambda: True,
        )
    assert time.monotonic() - began < 30


class _Clock:
    """Tries and says, of one outage, what happened."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)

    def __call__(self) -> str:
        if self.troubles:
            raise self.troubles.pop(0)
        return "done"


def test_pauses_grow_and_the_log_has_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(60, lambda: False)
    with caplog.at_level(logging.INFO):
        assert outage.through(_Clock(*[QueueUnavailableError("away")] * 5)) == "done"
        outage.over()
        outage.over()
    (seconds,) = outage.ended
    # Five pauses of 50, 100, 200, 400 and 800 ms, each at least halved.
    assert 0.7 < seconds < 10
    assert len(caplog.records) == 2


def test_a_refused_password_is_not_waited_out() -> None:
    began = time.monotonic()
    with pytest.raises(AccessDeniedError):
        Outage(60, lambda: False).through(_Clock(AccessDeniedError("no")))
    assert time.monotonic() - began < 30


def test_what_is_no_outage_is_passed_on() -> None:
    with pytest.raises(ValueError, match="else"):
        Outage(60, lambda: False).through(_Clock(ValueError("else")))
    with pytest.raises(StoreUnavailableError):
        Outage(0, lambda: False).through(_Clock(StoreUnavailableError("locked")))


def test_each_outage_of_a_drain_that_lingers_has_the_whole_budget(
    own_server: EmbeddedServer, own_client: RedisClient, store: Store
) -> None:
    publish(MessagePublisher(own_client), 1)
    restarts: list[float] = []

    def stop() -> bool:
        # Asked between the reads of a drain that lingers.
        if store.row_count(TUTORS) == 1 and len(restarts) < 3:
            own_server.kill()
            own_server.start()
            restarts.append(time.monotonic())
        return len(restarts) == 3

    limits = DrainLimits(linger_seconds=60, outage_seconds=20)
    report = drain(MessageConsumer(own_client), store, TUTORS, run_id="r", limits=limits, stop=stop)
    assert (report.outcomes, report.stopped) == ({Outcome.STORED: 1}, True)


def test_an_outage_is_over_when_nothing_is_left_to_do(own_client: RedisClient) -> None:
    outage = Outage(60, lambda: False)
    assert outage.through(_Clock(QueueUnavailableError("away"))) == "done"
    consumer = MessageConsumer(own_client)
    with Batches(consumer, TUTORS, DrainLimits(), lambda: False, idle=outage.over) as batches:
        assert list(batches) == []
    assert len(outage.ended) == 1


def test_nothing_is_waited_for_past_the_end_of_the_run() -> None:
    began = time.monotonic()
    outage = Outage(60, lambda: False, deadline=began + 0.2)
    with pytest.raises(QueueUnavailableError):
        outage.through(_Clock(*[QueueUnavailableError("away")] * 99))
    assert 0.2 <= time.monotonic() - began < 30


def test_what_was_in_hand_in_time_does_not_expire_in_an_outage(
    own_client: RedisClient, tmp_path: Path
) -> None:
    MessagePublisher(own_client).publish(TUTORS, {"tutor_id": "T", "name": "x"}, ttl_seconds=1)
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        holder = store.engine.execution_options(purpose=Purpose.ALONE).connect()
        holder.begin()
        later(1.5, holder.close)
        limits = DrainLimits(outage_seconds=30)
        report = drain(MessageConsumer(own_client), store, TUTORS, run_id="r", limits=limits)
        assert report.outcomes == {Outcome.STORED: 1}
