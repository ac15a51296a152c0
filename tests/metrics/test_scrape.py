"""What a scrape tells: the figures of the queues, true counters, and what is away."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.entry_id import EntryId
from queue_core.outcomes import Outcome, Reason
from tests.conftest import settings_for, wait_until
from tests.metrics.conftest import Scraped
from tests.queue.letters import bury
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.metrics.ledger_counts import LedgerCounts
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.prune import prune
from tutormax_pipeline.store.settled import settled_ever

TUTORS = QueueChannels.TUTORS
Scrape = Callable[[], Scraped]


def tutors(count: int) -> list[dict[str, object]]:
    return [{"tutor_id": f"T{n}", "name": "Ann"} for n in range(count)]


def drained(client: RedisClient, store: Store) -> None:
    drain(MessageConsumer(client, "run:r"), store, TUTORS, run_id="r", limits=DrainLimits())


def test_the_figures_of_a_channel_are_gauges(
    scrape: Scrape, client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publisher.publish_batch(TUTORS, tutors(5))
    consumer.read(TUTORS, 2)
    seen = scrape()
    assert seen["tutormax_redis_up",] == seen["tutormax_store_up",] == 1
    assert seen["tutormax_waiting_messages", "tutors"] == 3
    assert seen["tutormax_pending_messages", "tutors"] == 2
    assert seen["tutormax_consumers", "tutors"] == seen["tutormax_group_exists", "tutors"] == 1
    assert seen["tutormax_group_exists", "feedback"] == 0
    assert 0 < seen["tutormax_oldest_message_age_seconds", "tutors"] < 60
    assert seen["tutormax_oldest_message_age_seconds", "feedback"] == 0
    assert seen["tutormax_redis_noeviction",] == 1
    assert 0 < seen["tutormax_redis_ping_seconds",] < 5


def test_what_was_published_processed_and_settled_are_counters(
    scrape: Scrape, client: RedisClient, publisher: MessagePublisher, store_url: str
) -> None:
    publisher.publish_batch(TUTORS, tutors(5))
    publisher.publish(TUTORS, {"tutor_id": "T0", "name": "Ann"}, message_id="twice")
    publisher.publish(TUTORS, {"tutor_id": "T0", "name": "Ann"}, message_id="twice")
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"not JSON"})
    scrape()
    with Store.open(store_url) as store:
        drained(client, store)
    # The ledger is counted no more often than it may cost.
    settled_ones = ("tutormax_settled_messages_total", "tutors", "stored")
    seen = wait_until(lambda: (one := scrape())[settled_ones] and one, 30, "a new count")
    assert seen["tutormax_published_messages_total", "tutors"] == 8
    assert seen["tutormax_processed_messages_total", "tutors"] == 8
    settled = {one.value: seen["tutormax_settled_messages_total", "tutors", one.value] for one in Outcome}
    assert settled == {"stored": 6, "duplicate": 1, "dead_lettered": 1, "lost": 0}
    assert seen["tutormax_dead_lettered_messages_total", "tutors", "malformed"] == 1
    assert seen["tutormax_dead_letters", "tutors"] == 1


def test_dead_letters_are_counted_by_reason_from_the_first_scrape_on_and_never_fall(
    scrape: Scrape, client: RedisClient
) -> None:
    name = "tutormax_dead_lettered_messages_total"
    bury(client, 3, reason=Reason.EXPIRED)
    first = scrape()
    assert (first[name, "tutors", "expired"], first[name, "tutors", "invalid"]) == (0, 0)
    assert first["tutormax_recent_dead_letters", "tutors", "expired"] == 3
    bury(client, 300, reason=Reason.EXPIRED)
    bury(client, 1, reason=Reason.INVALID)
    client.redis.xadd(client.keys.dead_letter, {"reason": "Ann Smith", "channel": "Ann"})
    assert scrape()[name, "tutors", "expired"] == 300
    client.redis.delete(client.keys.dead_letter)
    last = scrape()
    assert (last[name, "tutors", "expired"], last[name, "tutors", "invalid"]) == (300, 1)
    assert last[name, "other", "other"] == 1
    assert not any("Ann" in part for sample in last for part in sample)


def test_labels_are_the_same_few_whatever_happens(
    scrape: Scrape, client: RedisClient, publisher: MessagePublisher
) -> None:
    before = scrape().keys()
    publisher.publish_batch(TUTORS, tutors(2))
    bury(client, 2)
    for n in range(5):
        MessageConsumer(client, f"consumer-{n}").read(TUTORS, 1)
        client.redis.xadd(client.keys.dead_letter, {"reason": f"reason {n}", "channel": f"channel {n}"})
    assert scrape().keys() == before


def test_where_redis_is_away_the_scrape_says_so_and_the_next_one_finds_it_again(
    exporter_of: Callable[[RedisClient], Scrape], own_server: EmbeddedServer
) -> None:
    with RedisClient(settings_for(own_server)) as client:
        scrape = exporter_of(client)
        assert scrape()["tutormax_redis_up",] == 1
        own_server.kill()
        seen = scrape()
        assert (seen["tutormax_redis_up",], seen["tutormax_store_up",]) == (0, 1)
        assert not any("waiting" in name for name, *_ in seen)
        own_server.start()
        assert scrape()["tutormax_redis_up",] == 1


def test_a_server_that_does_not_answer_holds_up_no_scrape_for_long(
    exporter_of: Callable[..., Scrape], own_server: EmbeddedServer
) -> None:
    with RedisClient(settings_for(own_server)) as client:
        scrape = exporter_of(client, seconds=0.3)
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            # The time of a socket is 5 s; the second scrape finds the first one's look still at work.
            assert [scrape()["tutormax_redis_up",] for _ in range(2)] == [0, 0]
        finally:
            os.kill(own_server.pid, signal.SIGCONT)


def test_where_the_store_is_away_the_queues_are_told_all_the_same(
    exporter_of: Callable[..., Scrape], client: RedisClient
) -> None:
    seen = exporter_of(client, url="sqlite:////proc/no/store.db")()
    assert (seen["tutormax_redis_up",], seen["tutormax_store_up",]) == (1, 0)
    names = {name for name, *_ in seen}
    assert "tutormax_waiting_messages" in names
    assert "tutormax_settled_messages_total" not in names


def test_a_store_that_is_not_there_is_not_made_by_looking_and_is_found_when_it_comes(
    exporter_of: Callable[..., Scrape], client: RedisClient, tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "store.db"
    scrape = exporter_of(client, url=f"sqlite:///{file}")
    assert scrape()["tutormax_store_up",] == 0
    assert not file.parent.exists()
    Store.open(f"sqlite:///{file}").close()
    assert scrape()["tutormax_store_up",] == 1


def test_a_store_that_is_deleted_or_replaced_under_the_exporter_is_noticed(
    scrape: Scrape, store_url: str, tmp_path: Path
) -> None:
    assert scrape()["tutormax_store_up",] == 1
    for file in tmp_path.glob("store.db*"):
        file.unlink()
    assert scrape()["tutormax_store_up",] == 0
    (tmp_path / "store.db").write_bytes(b"no database, and longer than the header of one" * 9)
    assert scrape()["tutormax_store_up",] == 0
    (tmp_path / "store.db").unlink()
    Store.open(store_url).close()
    assert scrape()["tutormax_store_up",] == 1


def test_a_ledger_that_takes_long_to_count_is_counted_seldom(
    store: Store, client: RedisClient, publisher: MessagePublisher
) -> None:
    # Each look at the clock is a second after the one before: a count takes one, and rests for nineteen.
    ticks = iter(range(1_000))
    counts = LedgerCounts(lambda: store, clock=lambda: next(ticks))
    assert counts() == {}
    publisher.publish_batch(TUTORS, tutors(2))
    drained(client, store)
    answers = [counts() for _ in range(20)]
    assert answers[0] == {}
    assert answers[-1] == {("tutors", Outcome.STORED): 2}
    assert 15 <= answers.count({}) < 20


def test_pruning_the_ledger_takes_nothing_from_a_counter(
    store: Store, client: RedisClient, publisher: MessagePublisher
) -> None:
    publisher.publish_batch(TUTORS, tutors(3))
    drained(client, store)
    before = settled_ever(store)
    later = datetime.now(UTC) + timedelta(days=1)
    prune(store, TUTORS, recorded_before=later, oldest=EntryId.parse("9999999999999-0"))
    assert store.outcome_counts(TUTORS)[Outcome.STORED] == 0
    assert settled_ever(store) == before == {("tutors", Outcome.STORED): 3}
    publisher.publish_batch(TUTORS, tutors(2))
    drained(client, store)
    assert settled_ever(store) == {("tutors", Outcome.STORED): 5}


def test_while_a_count_is_at_work_the_one_before_stands_for_the_store_but_not_for_ever(store: Store) -> None:
    seconds = 0.0
    counts = LedgerCounts(lambda: store, clock=lambda: seconds)
    assert counts.last() is None
    assert counts() == counts.last() == {}
    seconds = 59
    assert counts.last() == {}
    seconds = 60
    assert counts.last() is None
    assert counts() == counts.last() == {}


def test_every_name_has_a_help_text_a_type_and_the_prefix(exporter: int) -> None:
    with urlopen(f"http://127.0.0.1:{exporter}/metrics", timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert len(families) > 20
    for family in families:
        assert family.name.startswith("tutormax_")
        assert family.documentation.endswith(".")
        assert family.type in ("gauge", "counter")


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server that nobody else uses."""
    server = EmbeddedServer(tmp_path_factory.mktemp("own"))
    server.start()
    yield server
    server.kill()
