"""Putting messages back, on each kind of server."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.embedded import EmbeddedServer
from queue_core.errors import QueueError, QueueUnavailableError
from queue_core.failpoints import recorded
from queue_core.letter import MOST_FIELDS
from queue_core.letter_pages import PAGE_LETTERS
from queue_core.letter_reports import NAMED_LETTERS, RedriveReport
from queue_core.monitor import snapshot
from tests.queue.conftest import Like, frozen, messages, tutor
from tests.queue.letters import bury, bury_waiting, waiting

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS
ALL = LetterFilter()


@pytest.fixture
def letters(client: RedisClient) -> DeadLetters:
    return DeadLetters(client)


def redriven(client: RedisClient, letters: DeadLetters) -> list[dict[bytes, bytes]]:
    letters.redrive(ALL, dry_run=False)
    return waiting(client)


def test_a_message_comes_back_as_it_was_and_its_letter_goes(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, 3)
    sent = [letter.body for letter in letters.iterate()]
    report = letters.redrive(ALL, dry_run=False)
    assert report == RedriveReport(dry_run=False, redriven=3)
    assert waiting(client) == [{b"message": body, b"redrives": b"1"} for body in sent]
    assert client.redis.xlen(client.keys.dead_letter) == 0
    assert snapshot(client, TUTORS).dead == 0


def test_messages_go_back_to_the_channel_they_came_from(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, 2)
    bury(client, 3, channel=SESSIONS)
    letters.redrive(ALL, dry_run=False)
    assert [len(waiting(client, channel)) for channel in (TUTORS, SESSIONS)] == [2, 3]


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\x00"},
        {b"message": b""},
        {b"message": b"x" * (1_048_576 + 1)},
        {b"message": b"{}", b"trace": b"\x80", b"": b"", b"field:message": b"x"},
        {b"message": b"{}", **{b"f%d" % n: b"v" for n in range(MOST_FIELDS)}},
    ],
    ids=["bytes", "empty", "one byte too large", "other fields", "a thousand fields"],
)
def test_what_was_received_comes_back_byte_for_byte(
    client: RedisClient, letters: DeadLetters, fields: dict[bytes, bytes]
) -> None:
    bury(client, fields=fields)
    assert redriven(client, letters) == [{**fields, b"redrives": b"1"}]


def test_a_dry_run_counts_and_changes_nothing(client: RedisClient, letters: DeadLetters) -> None:
    buried = bury(client, 3)
    report = letters.redrive(LetterFilter(channel=TUTORS), limit=2)
    assert report == RedriveReport(dry_run=True, redriven=2, left=3)
    assert [letter.id for letter in letters.iterate()] == buried
    assert waiting(client) == []


def test_only_what_is_chosen_goes_back(client: RedisClient, letters: DeadLetters) -> None:
    one, two, three = bury(client, 3)
    assert letters.redrive([one, three, "1-1"], dry_run=False).redriven == 2
    assert [letter.id for letter in letters.iterate()] == [two]
    bury(client, channel=SESSIONS, errors=("name: missing",))
    report = letters.redrive(LetterFilter(error="missing"), dry_run=False)
    assert (report.redriven, report.left) == (1, 0)
    assert [letter.id for letter in letters.iterate()] == [two]


@pytest.mark.parametrize("count", [1, PAGE_LETTERS, PAGE_LETTERS + 1])
def test_a_limit_leaves_the_rest_and_the_same_command_goes_on(
    client: RedisClient, letters: DeadLetters, count: int
) -> None:
    bury(client, PAGE_LETTERS + 5)
    report = letters.redrive(ALL, limit=count, dry_run=False)
    assert (report.redriven, report.left) == (count, PAGE_LETTERS + 5 - count)
    assert letters.redrive(ALL, dry_run=False).redriven == PAGE_LETTERS + 5 - count
    assert [one.data["tutor_id"] for one in messages(client)[PAGE_LETTERS + 5 :]] == [
        tutor(n)["tutor_id"] for n in range(PAGE_LETTERS + 5)
    ]


def test_a_message_is_redriven_so_often_and_no_more(client: RedisClient, letters: DeadLetters) -> None:
    bury(client)
    for times in range(1, 4):
        assert letters.redrive(ALL, max_redrives=3, dry_run=False).redriven == 1
        bury_waiting(client)
        assert [letter.redrives for letter in letters.iterate()] == [times]
    for dry_run in (True, False):
        report = letters.redrive(ALL, max_redrives=3, dry_run=dry_run)
        assert (report.redriven, report.capped, report.left) == (0, 1, 1)
    assert letters.redrive(ALL, max_redrives=4, dry_run=False).redriven == 1


def test_those_that_may_not_be_redriven_do_not_use_up_the_limit(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, fields={b"message": b"{}", b"redrives": b"9"})
    bury(client, fields={b"other": b"x"})
    bury(client, 2)
    report = letters.redrive(ALL, limit=1, dry_run=False)
    assert (report.redriven, report.capped, report.unredrivable, report.left) == (1, 1, 1, 3)


def test_what_cannot_be_put_back_stays(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, fields={b"other": b"x"})
    bury(client, fields={b"message": b"{}", **{b"f%d" % n: b"v" for n in range(MOST_FIELDS + 1)}})
    client.redis.xadd(client.keys.dead_letter, {"message": "x", "channel": "teachers"})
    client.redis.xadd(client.keys.dead_letter, {"error": "boom"})
    for dry_run in (True, False):
        report = letters.redrive(ALL, dry_run=dry_run)
        assert (report.redriven, report.unredrivable, report.left) == (0, 4, 4)


def test_a_full_queue_takes_no_more_and_the_other_goes_on(client: RedisClient, like: Like) -> None:
    bury(client, 5)
    bury(client, 3, channel=SESSIONS)
    client.redis.delete(client.keys.stream(TUTORS), client.keys.stream(SESSIONS))
    small = like(queue_maxlen=4)
    MessagePublisher(small).publish_batch(TUTORS, [tutor(n) for n in range(2)])
    report = DeadLetters(small).redrive(ALL, dry_run=False)
    assert (report.redriven, report.full, report.left) == (2 + 3, {"tutors": 3}, 3)
    assert client.redis.xlen(client.keys.stream(TUTORS)) == 4
    assert [snapshot(client, channel).dead for channel in (TUTORS, SESSIONS)] == [3, 0]
    consumer = MessageConsumer(small)
    consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 10)))
    assert DeadLetters(small).redrive(ALL, dry_run=False).redriven == 3


def test_a_full_queue_is_asked_once_a_page_and_not_for_every_letter(client: RedisClient, like: Like) -> None:
    bury(client, PAGE_LETTERS * 2)
    client.redis.delete(client.keys.stream(TUTORS))
    report = DeadLetters(like(queue_maxlen=1)).redrive(ALL, dry_run=False)
    assert (report.redriven, report.full) == (1, {"tutors": PAGE_LETTERS * 2 - 1})


def test_processed_entries_make_room(client: RedisClient, like: Like) -> None:
    bury(client, 5)  # the entries that these were, acknowledged, fill the stream
    assert DeadLetters(like(queue_maxlen=5)).redrive(ALL, dry_run=False).redriven == 5


def test_it_goes_on_after_a_stop_without_loss(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, PAGE_LETTERS * 3)
    seen: list[int] = []
    report = letters.redrive(
        ALL,
        dry_run=False,
        progress=lambda so_far: seen.append(so_far.redriven),
        stop=lambda: bool(seen),
    )
    assert (report.stopped, report.redriven, report.left) == (True, PAGE_LETTERS, PAGE_LETTERS * 2)
    again = letters.redrive(ALL, dry_run=False, progress=lambda so_far: seen.append(so_far.redriven))
    assert (again.redriven, again.left, again.stopped) == (PAGE_LETTERS * 2, 0, False)
    assert seen == [PAGE_LETTERS, PAGE_LETTERS, PAGE_LETTERS * 2]
    assert len({one.id for one in messages(client)}) == PAGE_LETTERS * 3


def test_a_rate_is_kept(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, 12)
    started = time.monotonic()
    assert letters.redrive(ALL, per_second=40, dry_run=False).redriven == 12
    assert time.monotonic() - started >= 12 / 40


def test_of_several_operators_at_once_each_message_comes_back_once(client: RedisClient, like: Like) -> None:
    bury(client, 700)
    reports: list[RedriveReport] = []

    def operate(own: RedisClient) -> None:
        reports.append(DeadLetters(own).redrive(ALL, dry_run=False))

    threads = [threading.Thread(target=operate, args=(like(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.redriven for report in reports) == 700
    assert len(waiting(client)) == 700
    assert len({one.id for one in messages(client)}) == 700
    assert (snapshot(client, TUTORS).dead, client.redis.xlen(client.keys.dead_letter)) == (0, 0)


def test_letters_that_arrive_meanwhile_are_not_redriven_in_the_same_go(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, PAGE_LETTERS + 1)
    report = letters.redrive(ALL, dry_run=False, progress=lambda _: bury_waiting(client) and None)
    assert (report.redriven, report.left) == (PAGE_LETTERS + 1, PAGE_LETTERS + 1)


def test_where_the_entry_cannot_be_written_the_letter_stays(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, 2)
    stream = client.keys.stream(TUTORS)
    client.redis.delete(stream)
    client.redis.set(stream, "not a stream")
    report = letters.redrive(ALL, dry_run=False)
    assert (report.redriven, report.failed, report.left) == (0, 2, 2)
    assert all("WRONGTYPE" in answer for answer in report.failures.values())
    client.redis.delete(stream)
    client.redis.rename(client.keys.dead_letter_counts, "aside")
    client.redis.set(client.keys.dead_letter_counts, "not a hash")
    with pytest.raises(QueueError, match="WRONGTYPE"):
        letters.redrive(LetterFilter(channel=TUTORS), dry_run=False)
    assert client.redis.exists(stream) == 0
    client.redis.rename("aside", client.keys.dead_letter_counts)
    assert letters.redrive(ALL, dry_run=False).redriven == 2


def odd_letter(client: RedisClient) -> str:
    """A letter by another program, of more fields than a script can pass on; returns its id."""
    fields = {f"field:{number}": "v" for number in range(5_000)}
    added = client.redis.xadd(client.keys.dead_letter, {"message": b"x", "channel": "tutors", **fields})
    client.redis.hincrby(client.keys.dead_letter_counts, "tutors", 1)
    return added.decode()


def test_a_letter_that_cannot_be_put_back_stays_and_holds_up_no_other(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, 2)
    odd = odd_letter(client)
    bury(client, PAGE_LETTERS + 1)
    report = letters.redrive(ALL, dry_run=False)
    assert (report.redriven, report.failed, report.left) == (PAGE_LETTERS + 3, 1, 1)
    assert list(report.failures) == [odd]
    assert "too many results to unpack" in report.failures[odd]
    assert [letter.id for letter in letters.iterate()] == [odd]
    assert snapshot(client, TUTORS).dead == 1


def test_of_many_that_cannot_be_put_back_a_hundred_are_named(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, NAMED_LETTERS + 5)
    client.redis.delete(client.keys.stream(TUTORS))
    client.redis.set(client.keys.stream(TUTORS), "not a stream")
    report = letters.redrive(ALL, dry_run=False)
    assert (report.failed, len(report.failures)) == (NAMED_LETTERS + 5, NAMED_LETTERS)


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["out of memory", "read only"],
)
def test_a_server_that_cannot_write_moves_nothing(
    own_client: RedisClient, trouble: tuple[str, ...], remedy: tuple[str, ...]
) -> None:
    bury(own_client, 3)
    own_client.redis.execute_command(*trouble)
    with pytest.raises(QueueUnavailableError):
        DeadLetters(own_client).redrive(ALL, dry_run=False)
    own_client.redis.execute_command(*remedy)
    assert DeadLetters(own_client).redrive(ALL, dry_run=False).redriven == 3
    assert len(waiting(own_client)) == 3


def test_a_redrive_that_timed_out_can_be_made_again_and_each_message_comes_back_once(
    any_server: EmbeddedServer, client: RedisClient, like: Like
) -> None:
    bury(client, 2)
    hasty = DeadLetters(like(socket_timeout=0.3))
    with ExitStack() as stack:

        def freeze_before_the_move() -> bool:
            stack.enter_context(frozen(any_server))
            return False

        with pytest.raises(QueueUnavailableError):
            hasty.redrive(ALL, dry_run=False, stop=freeze_before_the_move)
    client.redis.ping()
    hasty.redrive(ALL, dry_run=False)
    assert len(waiting(client)) == 2
    assert hasty.count() == snapshot(client, TUTORS).dead == 0


def test_moving_passes_the_failpoints_of_its_script(client: RedisClient, letters: DeadLetters) -> None:
    bury(client)
    with recorded() as places:
        letters.redrive(ALL, dry_run=False)
    assert [place for place in places if place.startswith("redrive")] == ["redrive:before", "redrive:after"]


def test_counts_that_were_lost_do_not_go_below_zero(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, 2)
    client.redis.delete(client.keys.dead_letter_counts)
    assert letters.redrive(ALL, dry_run=False).redriven == 2
    assert client.redis.hgetall(client.keys.dead_letter_counts) == {b"tutors:moved": b"2"}
