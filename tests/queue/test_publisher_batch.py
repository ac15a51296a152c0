"""Publishing a batch, on each kind of server: in order, in few round trips, and what became of each."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.errors import (
    InvalidMessageError,
    MessageTooLargeError,
    PublishError,
)
from queue_core.publisher import BatchRefusedError, PublishReport, PublishResult
from tests.queue.conftest import messages, tutor

TUTORS = QueueChannels.TUTORS


def test_a_batch_keeps_its_order_over_several_round_trips(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    publisher.publish(QueueChannels.FEEDBACK, {})
    before = client.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    report = publisher.publish_batch(TUTORS, (tutor(n) for n in range(1_234)))
    assert client.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 3
    assert report.published == len(report) == 1_234
    published = messages(client)
    assert [message.id for message in published] == list(report)
    assert [message.data for message in published] == [tutor(n) for n in range(1_234)]
    entry_ids = [entry_id.decode() for entry_id, _ in client.redis.xrange(client.keys.stream(TUTORS))]
    assert [one.entry_id for one in report.results] == entry_ids


def test_large_messages_travel_in_smaller_batches(client: RedisClient, publisher: MessagePublisher) -> None:
    publisher.publish(QueueChannels.FEEDBACK, {})
    before = client.redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    report = publisher.publish_batch(TUTORS, ({"tutor_id": n, "name": "x" * 1_000_000} for n in range(12)))
    assert client.redis.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 3
    assert [message.id for message in messages(client)] == list(report)


def test_an_empty_batch_is_an_empty_report(publisher: MessagePublisher) -> None:
    report = publisher.publish_batch(TUTORS, [])
    assert (list(report), report.published, report.refused) == ([], 0, [])
    assert publisher.get_stream_length(TUTORS) == 0


def test_a_batch_says_for_each_message_what_became_of_it(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    records = [tutor(0), {"name": float("nan")}, tutor(2), {"name": "x" * 2_000_000}, "no record", tutor(5)]
    with pytest.raises(BatchRefusedError, match="3 of 6 messages were refused, 3 are published") as caught:
        publisher.publish_batch(TUTORS, records)
    assert "The first refused is number 1" in str(caught.value)
    report = caught.value.report
    assert [one.index for one in report.results] == list(range(6))
    assert [one is None for one in report] == [False, True, False, True, True, False]
    errors = [type(one.error) for one in report.refused]
    assert errors == [InvalidMessageError, MessageTooLargeError, InvalidMessageError]
    assert all(one.entry_id is None for one in report.refused)
    assert [message.id for message in messages(client)] == [report[0], report[2], report[5]]
    assert [message.data for message in messages(client)] == [tutor(0), tutor(2), tutor(5)]


def test_a_batch_can_report_without_raising(publisher: MessagePublisher) -> None:
    report = publisher.publish_batch(TUTORS, [tutor(0), {"x": 2**60}], raise_if_refused=False)
    assert (report.published, len(report.refused)) == (1, 1)


def test_records_that_end_in_an_error_leave_what_was_sent_before(publisher: MessagePublisher) -> None:
    def broken() -> Iterator[dict[str, object]]:
        for number in range(600):
            yield tutor(number)
        raise OSError("the file ends here")

    with pytest.raises(OSError, match="the file ends here"):
        publisher.publish_batch(TUTORS, broken())
    assert publisher.get_stream_length(TUTORS) == 500


def test_envelopes_made_beforehand_are_published_as_they_are(
    client: RedisClient, publisher: MessagePublisher
) -> None:
    refused = PublishError("not this one")
    envelopes = [(None, refused), publisher.encode(TUTORS, tutor(1), message_id="m-1"), ("m-2", refused)]
    report = publisher.publish_envelopes(TUTORS, envelopes)
    assert [(one.message_id, one.error) for one in report.results] == [
        (None, refused),
        ("m-1", None),
        ("m-2", refused),
    ]
    assert list(report) == [None, "m-1", None]
    ((_, fields),) = client.redis.xrange(client.keys.stream(TUTORS))
    assert fields[b"message"] == envelopes[1][1]


def test_a_report_is_the_sequence_of_the_message_ids() -> None:
    report = PublishReport([PublishResult(n, f"m-{n}", "1-1", None) for n in range(100_000)])
    assert (report[0], report[-1], report[1:3], len(report)) == ("m-0", "m-99999", ["m-1", "m-2"], 100_000)
    with pytest.raises(IndexError):
        _ = report[100_000]
    started = time.perf_counter()
    assert list(report)[-1] == "m-99999"
    assert time.perf_counter() - started < 5
