"""Editing and discarding dead letters, on each kind of server, with a real archive."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import orjson
import pytest

from queue_core import Channel, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.errors import (
    ConfigurationError,
    EditRefusedError,
    LetterGoneError,
    QueueError,
    QueueFullError,
)
from queue_core.letter import DeadLetter
from queue_core.letter_archive import ArchiveAction, ArchiveReceipt
from queue_core.letter_pages import PAGE_LETTERS
from queue_core.letter_reports import DiscardReport
from queue_core.monitor import snapshot
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import deserialize, serialize
from tests.queue.conftest import Like, messages, tutor
from tests.queue.letters import bury, waiting
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import StoreArchive

TUTORS = QueueChannels.TUTORS
ALL = LetterFilter()


@pytest.fixture
def archive(store: Store) -> StoreArchive:
    return StoreArchive(store)


@pytest.fixture
def letters(client: RedisClient, archive: StoreArchive) -> DeadLetters:
    return DeadLetters(client, archive=archive, check=no_zeds)


def no_zeds(channel: Channel, message: Message) -> Rejection | None:
    assert channel == TUTORS
    wrong = message.data.get("name") == "z"
    return Rejection(Reason.INVALID, ("name: must not be z",), message.id) if wrong else None


class Slow:
    """An archive that lets somebody else act between the archiving and the move."""

    def __init__(self, archive: StoreArchive, others: Iterable[object]) -> None:
        self._archive, self._others = archive, iter(others)

    def keep(
        self, letters: Sequence[DeadLetter], action: ArchiveAction, *, who: str, why: str
    ) -> ArchiveReceipt:
        receipt = self._archive.keep(letters, action, who=who, why=why)
        next(self._others)()  # type: ignore[operator]
        return receipt

    def withdraw(self, receipt: ArchiveReceipt, letter_ids: Iterable[str]) -> None:
        self._archive.withdraw(receipt, letter_ids)


def test_an_edited_message_is_published_under_its_id_and_the_original_is_archived(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    (letter_id,) = bury(client)
    original = letters.get(letter_id)
    entry_id = letters.edit(letter_id, {"name": "y"}, who="ann", why="typo")
    before, after = messages(client)
    assert (after.id, after.published_at) == (before.id, before.published_at)
    assert after.data == {**before.data, "name": "y"}
    (kept,) = archive.letters()
    assert (kept.letter_id, kept.action, kept.body) == (letter_id, ArchiveAction.EDITED, original.body)
    assert (kept.signature.who, kept.signature.why) == ("ann", "typo")
    assert [entry.decode() for entry, _ in client.redis.xrange(client.keys.stream(TUTORS))][1] == entry_id
    assert [one[b"redrives"] for one in waiting(client)] == [b"1"]
    assert letters.count() == snapshot(client, TUTORS).dead == 0


def test_an_empty_patch_mends_a_checksum(client: RedisClient, letters: DeadLetters) -> None:
    stream = client.keys.stream(TUTORS)
    body = serialize(stream, tutor(1), message_id="m-1").replace(b'"x"', b'"y"')
    (letter_id,) = bury(client, fields={b"message": body}, reason=Reason.CHECKSUM_MISMATCH)
    letters.edit(letter_id, {}, who="ann", why="looked at")
    (entry,) = waiting(client)
    message = deserialize(entry[b"message"], channel=stream)
    assert isinstance(message, Message)
    assert (message.id, message.data["name"]) == ("m-1", "y")


@pytest.mark.parametrize(
    ("fields", "patch", "why"),
    [
        ({b"message": b"\xff"}, {}, "not JSON"),
        ({b"message": b"[]"}, {}, "not a JSON object"),
        ({b"other": b"x"}, {}, "has no message"),
        (None, {"name": "z"}, "name: must not be z"),
        (None, {"name": float("nan")}, "NaN"),
        (None, {"name": "n" * 1_048_576}, "bytes, allowed are"),
    ],
    ids=["bytes", "list", "no message", "against the contract", "no JSON", "too large"],
)
def test_an_edit_that_cannot_be_moves_nothing_and_archives_nothing(
    client: RedisClient,
    letters: DeadLetters,
    archive: StoreArchive,
    fields: dict[bytes, bytes] | None,
    patch: dict[str, object],
    why: str,
) -> None:
    (letter_id,) = bury(client, fields=fields)
    before = letters.get(letter_id)
    with pytest.raises(EditRefusedError, match=why):
        letters.preview_edit(letter_id, patch)
    with pytest.raises(EditRefusedError, match=why) as refused:
        letters.edit(letter_id, patch, who="ann", why="typo")
    assert letter_id in str(refused.value)
    assert letters.get(letter_id) == before
    assert (waiting(client), archive.letters()) == ([], [])


def test_a_preview_is_what_would_be_published(client: RedisClient, letters: DeadLetters) -> None:
    (letter_id,) = bury(client)
    preview = letters.preview_edit(letter_id, {"name": "y"})
    assert orjson.loads(preview)["data"]["name"] == "y"
    assert waiting(client) == []
    letters.edit(letter_id, {"name": "y"}, who="ann", why="typo")
    assert [one[b"message"] for one in waiting(client)] == [preview]


def test_a_full_queue_refuses_an_edit(client: RedisClient, archive: StoreArchive, like: Like) -> None:
    (letter_id,) = bury(client)
    client.redis.xadd(client.keys.stream(TUTORS), {"message": "waits"})
    small = DeadLetters(like(queue_maxlen=1), archive=archive)
    with pytest.raises(QueueFullError, match="Queue tutors is full"):
        small.edit(letter_id, {"name": "y"}, who="ann", why="typo")
    assert (small.count(), archive.letters()) == (1, [])


def test_an_edit_of_a_letter_that_somebody_else_moved_is_told_and_withdrawn(
    client: RedisClient, archive: StoreArchive
) -> None:
    (letter_id,) = bury(client)
    others = [lambda: DeadLetters(client).redrive(ALL, dry_run=False)]
    late = DeadLetters(client, archive=Slow(archive, others))
    with pytest.raises(LetterGoneError, match=letter_id):
        late.edit(letter_id, {"name": "y"}, who="ann", why="typo")
    assert archive.letters() == []
    assert [one.data["name"] for one in messages(client)] == ["x", "x"]


def test_of_two_who_edit_a_letter_one_does(client: RedisClient, archive: StoreArchive) -> None:
    (letter_id,) = bury(client)
    quick = DeadLetters(client, archive=archive)
    others = [lambda: quick.edit(letter_id, {"name": "quick"}, who="bob", why="b")]
    late = DeadLetters(client, archive=Slow(archive, others))
    with pytest.raises(LetterGoneError):
        late.edit(letter_id, {"name": "late"}, who="ann", why="a")
    assert [one.data["name"] for one in messages(client)] == ["x", "quick"]
    assert [kept.signature.who for kept in archive.letters()] == ["bob"]


def test_discarded_letters_are_archived_whole_and_gone(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    bury(client, 2)
    bury(client, fields={b"message": b"\xff\x00", b"trace": b"t"}, reason=Reason.MALFORMED)
    bury(client, fields={b"other": b"x"}, reason=Reason.MALFORMED)
    whole = {letter.id: letter.body for letter in letters.iterate()}
    report = letters.discard(ALL, who="ann", why="tests")
    assert report == DiscardReport(dry_run=True, discarded=4, left=4)
    assert archive.letters() == []
    assert letters.discard(ALL, who="ann", why="tests", dry_run=False).discarded == 4
    assert {kept.letter_id: kept.body for kept in archive.letters()} == whole
    assert {(kept.action, kept.signature.who, kept.signature.why) for kept in archive.letters()} == {
        (ArchiveAction.DISCARDED, "ann", "tests")
    }
    assert letters.count() == snapshot(client, TUTORS).dead == 0
    assert waiting(client) == []


def test_only_what_is_chosen_is_discarded(client: RedisClient, letters: DeadLetters) -> None:
    one, two, three = bury(client, 3)
    report = letters.discard([two, "1-1"], who="ann", why="w", dry_run=False)
    assert (report.discarded, report.left) == (1, 0)
    assert [letter.id for letter in letters.iterate()] == [one, three]


def test_letters_of_another_format_can_be_discarded(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    bury(client)
    client.redis.xadd(client.keys.dead_letter, {"error": "boom", "channel": b"\xff"})
    assert letters.discard(ALL, who="ann", why="w", dry_run=False).discarded == 2
    assert len(archive.letters()) == 2
    assert client.redis.hgetall(client.keys.dead_letter_counts) == {
        b"tutors": b"0",
        b"tutors:moved": b"1",
        b":moved": b"1",
    }


def test_discarding_goes_on_after_a_stop(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    bury(client, PAGE_LETTERS + 2)
    seen: list[int] = []
    report = letters.discard(
        ALL,
        who="ann",
        why="w",
        dry_run=False,
        progress=lambda so_far: seen.append(so_far.discarded),
        stop=lambda: bool(seen),
    )
    assert (report.stopped, report.discarded, report.left) == (True, PAGE_LETTERS, 2)
    assert letters.discard(ALL, who="ann", why="w", dry_run=False).discarded == 2
    assert len(archive.letters(limit=1_000)) == PAGE_LETTERS + 2


def test_of_several_operators_who_discard_and_redrive_each_letter_is_moved_once(
    client: RedisClient, archive: StoreArchive, like: Like
) -> None:
    bury(client, 600)
    done: dict[str, int] = {}

    def discard(who: str, own: RedisClient) -> None:
        report = DeadLetters(own, archive=archive).discard(ALL, who=who, why="w", dry_run=False)
        done[who] = report.discarded

    def redrive(who: str, own: RedisClient) -> None:
        done[who] = DeadLetters(own).redrive(ALL, dry_run=False).redriven

    threads = [
        threading.Thread(target=act, args=(who, like()))
        for act, who in ((discard, "ann"), (discard, "bob"), (redrive, "eve"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done.values()) == 600
    assert len(waiting(client)) == done["eve"]
    assert len(archive.letters(limit=1_000)) >= done["ann"] + done["bob"]
    assert (client.redis.xlen(client.keys.dead_letter), snapshot(client, TUTORS).dead) == (0, 0)


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_of_two_who_discard_a_letter_it_stays_archived_for_whoever_did(
    client: RedisClient, archive: StoreArchive, first: str
) -> None:
    bury(client)
    bob = DeadLetters(client, archive=archive)
    others = [lambda: bob.discard(ALL, who="bob", why="b", dry_run=False) if first == "bob" else None]
    ann = DeadLetters(client, archive=Slow(archive, others))
    report = ann.discard(ALL, who="ann", why="a", dry_run=False)
    assert (report.discarded, report.gone) == ((0, 1) if first == "bob" else (1, 0))
    assert [kept.signature.who for kept in archive.letters()] == [first]


def test_a_letter_that_was_redriven_meanwhile_is_not_archived(
    client: RedisClient, archive: StoreArchive
) -> None:
    bury(client, 2)
    late = DeadLetters(
        client,
        archive=Slow(archive, [lambda: DeadLetters(client).redrive(ALL, limit=1, dry_run=False)]),
    )
    report = late.discard(ALL, who="ann", why="a", dry_run=False)
    assert (report.discarded, report.gone) == (1, 1)
    assert len(archive.letters()) == 1


def test_where_a_letter_cannot_be_removed_it_stays_and_so_does_its_archive(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    bury(client, 2)
    client.redis.set(client.keys.dead_letter_counts, "not a hash")
    with pytest.raises(QueueError, match="WRONGTYPE"):
        letters.discard(ALL, who="ann", why="a", dry_run=False)
    assert (client.redis.xlen(client.keys.dead_letter), len(archive.letters())) == (2, 2)
    client.redis.delete(client.keys.dead_letter_counts)
    assert letters.discard(ALL, who="bob", why="b", dry_run=False).discarded == 2
    assert {kept.signature.who for kept in archive.letters()} == {"bob"}


def test_an_edit_that_redis_cannot_do_is_refused_and_not_archived(
    client: RedisClient, letters: DeadLetters, archive: StoreArchive
) -> None:
    (letter_id,) = bury(client)
    raw = client.redis.xrange(client.keys.dead_letter)[0][1]
    more = {b"field:%d" % number: b"v" for number in range(5_000)}
    odd = client.redis.xadd(client.keys.dead_letter, raw | more).decode()
    with pytest.raises(EditRefusedError, match=f"{odd} stays as it is.*too many results to unpack"):
        letters.edit(odd, {}, who="ann", why="w")
    assert ([letter.id for letter in letters.iterate()], archive.letters()) == ([letter_id, odd], [])


def test_without_an_archive_nothing_is_edited_or_discarded(client: RedisClient) -> None:
    (letter_id,) = bury(client)
    letters = DeadLetters(client)
    with pytest.raises(ConfigurationError, match="only with an archive"):
        letters.edit(letter_id, {}, who="ann", why="w")
    with pytest.raises(ConfigurationError, match="only with an archive"):
        letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert letters.count() == 1


@pytest.mark.parametrize(("who", "why"), [("", "w"), ("ann", ""), ("ann", " ")])
def test_who_and_why_must_be_said(client: RedisClient, letters: DeadLetters, who: str, why: str) -> None:
    (letter_id,) = bury(client)
    with pytest.raises(ValueError, match="must be said"):
        letters.discard(ALL, who=who, why=why, dry_run=False)
    with pytest.raises(ValueError, match="must be said"):
        letters.edit(letter_id, {}, who=who, why=why)
    assert letters.count() == 1
