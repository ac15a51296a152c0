"""A message that fails, or ends its process, takes nobody along."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Delivery, Entry
from queue_core.entry_id import EntryId
from queue_core.monitor import snapshot
from queue_core.outcomes import Message, Outcome, Reason, Rejection
from queue_core.reclaim import reclaim
from tests.conftest import settings_for, wait_until
from tests.pipeline.conftest import Drain, assert_books_balance, ledger, letters, publish
from tutormax_pipeline import judge
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.records import Record
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
POISON = "T-poison"

Fail = Callable[[Exception], None]


@pytest.fixture
def fail_at_poison(monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Let the code fail, as if by a fault of its own, at one record and no other."""
    real = judge.validate

    def arrange(error: Exception) -> None:
        def validate(contract: type[Record], message: Message) -> Record | Rejection:
            if message.data["tutor_id"] == POISON:
                raise error
            return real(contract, message)

        monkeypatch.setattr(judge, "validate", validate)

    return arrange


def publish_poison(publisher: MessagePublisher) -> str:
    return publisher.publish(TUTORS, {"tutor_id": POISON, "name": "Ann Secret"})


@pytest.mark.parametrize(
    "error", [KeyError("Ann Secret"), MemoryError(), RecursionError(), ZeroDivisionError()]
)
def test_one_that_fails_among_a_thousand_is_tried_later_and_the_others_are_stored_now(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    drained: Drain,
    fail_at_poison: Fail,
    error: Exception,
) -> None:
    publish(publisher, 500)
    publish_poison(publisher)
    publish(publisher, 499, start=500)
    fail_at_poison(error)
    report = drained(max_messages=1_000)
    assert (report.outcomes, report.retried) == ({Outcome.STORED: 999}, 1)
    assert (report.after.pending, report.after.scheduled, report.after.dead) == (1, 1, 0)
    (attempts,) = client.redis.hvals(client.keys.processing(TUTORS))
    (attempt,) = orjson.loads(attempts)
    assert attempt["error"].startswith(f"{type(error).__name__} in validate, line ")
    assert_books_balance(client, store)


def test_one_that_fails_again_and_again_is_a_dead_letter_when_its_retries_are_used_up(
    valkey: EmbeddedServer, store: Store, fail_at_poison: Fail
) -> None:
    with RedisClient(settings_for(valkey, max_retries=2, retry_backoff_ms=1)) as client:
        message_id = publish_poison(MessagePublisher(client))
        fail_at_poison(KeyError("Ann Secret"))

        def settle() -> int:
            return drain(MessageConsumer(client), store, TUTORS, run_id="r").outcomes[Outcome.DEAD_LETTERED]

        wait_until(settle)
        ((_, _, outcome, reason),) = ledger(store)
        assert (outcome, reason) == (Outcome.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED)
        (letter,) = letters(client)
        assert orjson.loads(letter[b"message"])["data"]["tutor_id"] == POISON
        assert letter[b"deliveries"] == b"3"
        assert letter[b"message_id"].decode() == message_id
        attempts = orjson.loads(letter[b"attempts"])
        assert [attempt["error"].partition(" in ")[0] for attempt in attempts] == ["KeyError"] * 3
        assert b"Secret" not in letter[b"errors"] + letter[b"attempts"]
        assert client.redis.exists(client.keys.processing(TUTORS), client.keys.retry(TUTORS)) == 0
        assert_books_balance(client, store)


def test_one_that_failed_once_is_stored_by_the_same_run_when_it_lingers(
    valkey: EmbeddedServer, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = judge.validate, []

    def validate(contract: type[Record], message: Message) -> Record | Rejection:
        calls.append(message)
        if len(calls) == 1:
            raise TimeoutError
        return real(contract, message)

    monkeypatch.setattr(judge, "validate", validate)
    with RedisClient(settings_for(valkey, retry_backoff_ms=10)) as client:
        publish(MessagePublisher(client), 1)
        report = drain(
            MessageConsumer(client),
            store,
            TUTORS,
            run_id="r",
            limits=DrainLimits(linger_seconds=30),
            stop=lambda: store.row_count(TUTORS) == 1,
        )
        assert (report.retried, report.outcomes, report.seconds < 20) == (1, {Outcome.STORED: 1}, True)
        assert client.redis.exists(client.keys.processing(TUTORS)) == 0


@pytest.mark.parametrize(
    ("deliveries", "failures", "max_retries", "deadly"),
    [
        (1, 0, 3, False),
        (4, 0, 3, False),
        (5, 0, 3, True),
        (5, 1, 3, False),
        (6, 1, 3, True),
        (2, 0, 0, False),
        (3, 0, 0, True),
        (3, 1, 0, False),
    ],
)
def test_what_was_delivered_too_often_without_an_outcome_is_given_up_unread(
    valkey: EmbeddedServer, deliveries: int, failures: int, max_retries: int, deadly: bool
) -> None:
    with RedisClient(settings_for(valkey, max_retries=max_retries)) as client:
        judged = judge.Judge(MessageConsumer(client), TUTORS)(
            Entry("1-1", {b"message": b"junk"}, deliveries, failures, Delivery.AGAIN)
        )
    assert judged.rejection is not None
    assert judged.rejection.reason == (Reason.CRASH_LOOP if deadly else Reason.MALFORMED)


#: A drain that dies, in the way given, at the poison.
_DEADLY = f"""
import os, signal, sys
from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from tutormax_pipeline import judge
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

real = judge.validate

def validate(contract, message):
    if message.data["tutor_id"] == {POISON!r}:
        {{death}}
    return real(contract, message)

judge.validate = validate
settings = RedisSettings.load(url=sys.argv[1], key_prefix=sys.argv[2], max_retries=int(sys.argv[4]))
with RedisClient(settings) as client, Store.open(sys.argv[3]) as store:
    consumer = MessageConsumer(client, "run:" + str(os.getpid()))
    drain(consumer, store, QueueChannels.TUTORS, run_id="r")
"""

DEATHS = {
    "signal": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "exit": ("os._exit(7)", 7),
    "stack": ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
}


@pytest.mark.parametrize(("death", "max_retries"), [("signal", 3), ("exit", 0), ("stack", 1)])
def test_one_that_ends_its_process_is_quarantined_after_few_deliveries_and_takes_nobody_along(
    valkey: EmbeddedServer, store: Store, tmp_path: Path, death: str, max_retries: int
) -> None:
    how, exit_code = DEATHS[death]
    with RedisClient(settings_for(valkey, max_retries=max_retries)) as client:
        publisher = MessagePublisher(client)
        publish(publisher, 50)
        publish_poison(publisher)
        publish(publisher, 49, start=50)
        program = [sys.executable, "-c", _DEADLY.replace("{death}", how)]
        arguments = [
            valkey.url,
            client.settings.key_prefix,
            f"sqlite:///{tmp_path}/store.db",
            str(max_retries),
        ]
        ends = []
        while not ends or ends[-1] != 0:
            process = subprocess.Popen([*program, *arguments], stderr=subprocess.DEVNULL)
            ends.append(process.wait(60))
            reclaim(client, TUTORS, consumer=f"run:{process.pid}", min_idle_ms=0)
        deaths = max(2, max_retries + 1)
        assert ends == [exit_code] * deaths + [0]
        assert store.row_count(TUTORS) == 99
        (letter,) = letters(client)
        assert (letter[b"reason"], POISON.encode() in letter[b"message"]) == (b"crash_loop", True)
        assert orjson.loads(letter[b"errors"]) == [
            f"message: was delivered {deaths} times, and each time its process ended"
        ]
        assert_books_balance(client, store)


def test_new_messages_do_not_wait_for_all_that_was_left_behind(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 1_500)
    died = MessageConsumer(client, "died")
    died.create_consumer_group(TUTORS)
    died.read(TUTORS, 1_500)
    reclaim(client, TUTORS, consumer="died", min_idle_ms=0)
    newest = publisher.publish(TUTORS, {"tutor_id": "T-new", "name": "x"})
    seen: list[int] = []

    def stop() -> bool:
        stored = {message for _, message, _, _ in ledger(store)} if len(seen) % 50 == 0 else set()
        seen.append(store.row_count(TUTORS))
        return newest in stored

    drained(stop=stop)
    assert snapshot(client, TUTORS).waiting == 0
    assert 1 < store.row_count(TUTORS) < 1_500
    assert drained().after.pending == 0
    assert store.row_count(TUTORS) == 1_501
    assert_books_balance(client, store)


def test_what_a_stopped_drain_took_over_and_did_not_begin_keeps_its_deliveries(
    client: RedisClient, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    died = MessageConsumer(client, "died")
    died.create_consumer_group(TUTORS)
    died.read(TUTORS, 3)
    reclaim(client, TUTORS, consumer="died", min_idle_ms=0)
    turns = iter([False, True])
    assert drained(stop=lambda: next(turns, True)).messages == 1
    assert [one.deliveries for one in died.get_pending_messages(TUTORS)] == [1, 1]


def test_those_delivered_more_often_come_after_those_delivered_less_often(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    died = MessageConsumer(client, "died")
    died.create_consumer_group(TUTORS)
    first, *_ = died.read(TUTORS, 3)
    died.begin(TUTORS, [first])
    reclaim(client, TUTORS, consumer="died", min_idle_ms=0)
    turns = iter([False, False, True])
    assert drained(stop=lambda: next(turns, True)).messages == 2
    assert [one.entry_id for one in died.get_pending_messages(TUTORS)] == [first.id]


@pytest.mark.parametrize("others", [0, 5_000], ids=["alone", "among many fields"])
def test_one_that_ends_whoever_receives_it_is_given_up_without_leaving_the_server(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, others: int
) -> None:
    publish(publisher, 2)
    fields = {b"f%d\xfe" % n: b"\x00%d\xff" % n for n in range(others)}
    client.redis.xadd(client.keys.stream(TUTORS), {b"message": b"\xff deadly", **fields})
    received: list[Delivery] = []
    died = MessageConsumer(client, "died")
    died.read(TUTORS, 3)
    for _ in range(3):
        reclaim(client, TUTORS, min_idle_ms=0)
        deadly = max(died.claim(TUTORS, 10).left, key=lambda left: EntryId.parse(left.id))
        received += [entry.delivery for entry in died.begin(TUTORS, [deadly])]
    assert received == [Delivery.AGAIN] * 3
    reclaim(client, TUTORS, min_idle_ms=0)
    assert drained().outcomes == {Outcome.STORED: 2, Outcome.DEAD_LETTERED: 1}
    (letter,) = letters(client)
    assert (letter[b"reason"], letter[b"message"]) == (b"crash_loop", b"\xff deadly")
    assert next(DeadLetters(client).iterate()).fields == fields
    assert_books_balance(client, store)


@pytest.mark.parametrize("failing", [1, 6])
def test_every_retry_is_made_when_it_is_due(
    valkey: EmbeddedServer, store: Store, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    real, calls = judge.validate, Counter[str]()

    def validate(contract: type[Record], message: Message) -> Record | Rejection:
        calls[message.id] += 1
        # In its batch, alone in its half, and twice when it is due.
        if calls[message.id] <= 4:
            raise TimeoutError
        return real(contract, message)

    monkeypatch.setattr(judge, "validate", validate)
    with RedisClient(settings_for(valkey, retry_backoff_ms=50, max_retries=20)) as client:
        publish(MessagePublisher(client), failing)
        began = time.monotonic()
        drain(
            MessageConsumer(client),
            store,
            TUTORS,
            run_id="r",
            limits=DrainLimits(linger_seconds=30),
            stop=lambda: store.row_count(TUTORS) == failing,
        )
        assert store.row_count(TUTORS) == failing
        assert time.monotonic() - began < 5, "a retry waited for the look that is made every 5 s"


def test_a_drain_whose_entries_are_taken_from_it_goes_on_with_the_others(
    client: RedisClient, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 25)
    died = MessageConsumer(client, "died")
    died.create_consumer_group(TUTORS)
    died.read(TUTORS, 5)
    reclaim(client, TUTORS, min_idle_ms=0)
    turns = itertools.count()

    def others_take_over() -> bool:
        if next(turns) == 1:
            MessageConsumer(client, "other").claim(TUTORS, 10, min_idle_ms=0)
        return False

    report = drained(batch_size=5, stop=others_take_over)
    assert report.after.waiting == 0
    assert report.outcomes[Outcome.STORED] >= 20


def test_attempts_that_cannot_be_read_stop_nobody(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publish(publisher, 3)
    died = MessageConsumer(client, "died")
    died.create_consumer_group(TUTORS)
    for entry in died.read(TUTORS, 3):
        client.redis.hset(client.keys.processing(TUTORS), entry.id, b"{not ours")
    reclaim(client, TUTORS, min_idle_ms=0)
    assert drained().outcomes == {Outcome.STORED: 3}
    assert_books_balance(client, store)
