"""The machine that does to the real system, and to the model, the same things in any order."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from queue_core.dead_letter import MAX_REDRIVES, DeadLetters, Letter
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Entry
from queue_core.errors import EditRefusedError, QueueFullError, QueueUnavailableError
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.reclaim import reclaim
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.model.observation import observe
from tests.model.specification import MAX_RETRIES, Content, HeldLetter, Item, Model, Place, Seen
from tutormax_pipeline import books, judge
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.maintenance import maintain_all
from tutormax_pipeline.records import Record
from tutormax_pipeline.settler import Settler
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
START = datetime(2026, 11, 7, 21, tzinfo=UTC)
#: So small that a machine fills it.
QUEUE_MAXLEN = 15

picks = st.integers(0, 7)
few = st.integers(1, 3)


@dataclass
class Hand:
    """What a consumer that is gone had taken, or still has, should it wake up."""

    consumer: MessageConsumer
    entries: list[Entry]


class Pipeline(RuleBasedStateMachine):
    """One namespace on the server and one store, for each example.

    Attributes:
        server: the server; set by the test.
        template: an empty store, to be copied; set by the test.
        folder: where copies go; set by the test.
    """

    server: EmbeddedServer
    template: Path
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.client = RedisClient(
            settings_for(
                self.server, max_retries=MAX_RETRIES, retry_backoff_ms=60_000, queue_maxlen=QUEUE_MAXLEN
            )
        )
        self.client_later = RedisClient(
            self.client.settings.model_copy(update={"worker_max_processing_time_seconds": 0.0001})
        )
        self.file = self.folder / f"{self.client.settings.key_prefix}.db"
        shutil.copy(self.template, self.file)
        self.store = Store(f"sqlite:///{self.file}")
        self.stream = self.client.keys.stream(TUTORS)
        self.hands: list[Hand] = []
        self.names = 0
        self.restarts = 0

    # Publishing

    @rule(messages=st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 3)), min_size=1, max_size=4))
    def publish(self, messages: list[tuple[str, int]]) -> None:
        for record_id, minute in messages:
            name = self._name("n")
            self._publish(name, (f"T-{record_id}", name, START + timedelta(minutes=minute)))

    @precondition(lambda self: self._good())
    @rule(pick=picks)
    def publish_again(self, pick: int) -> None:
        content = _nth(self._good(), pick)
        assert content.message_id is not None and content.row is not None  # noqa: PT018
        self._publish(content.message_id, content.row)

    @rule(
        kind=st.sampled_from(["malformed", "no_message", "checksum", "invalid"]),
        record_id=st.sampled_from("AB"),
    )
    def add_bad_bytes(self, kind: str, record_id: str) -> None:
        name = self._name("bad")
        row = (f"T-{record_id}", name, START)
        body = _body(self.stream, name, row)
        contents = {
            "malformed": Content({b"message": b"\xff" + name.encode()}, None, Reason.MALFORMED),
            "no_message": Content({b"other": name.encode()}, None, Reason.MALFORMED),
            "checksum": Content(
                {b"message": body.replace(b'"checksum":"', b'"checksum":"0'), b"trace": b"\x00"},
                name,
                Reason.CHECKSUM_MISMATCH,
                row,
            ),
            "invalid": Content(
                {b"message": _body(self.stream, name, row, rating=99)}, name, Reason.INVALID, row
            ),
        }
        content = contents[kind]
        self.model.added(self.client.redis.xadd(self.stream, dict(content.fields)).decode(), content)

    # Processes that come and go

    @rule(count=few)
    def read_and_crash(self, count: int) -> None:
        self._read(count)

    @rule(count=few)
    def read_commit_and_crash(self, count: int) -> None:
        hand = self._read(count)
        self._settle(hand)

    @precondition(lambda self: any(one.place is Place.PENDING for one in self.model.available()))
    @rule(count=few)
    def take_over_begin_one_and_crash(self, count: int) -> None:
        consumer = MessageConsumer(self.client, self._name("dead"))
        claimed = consumer.claim(TUTORS, count)
        for entry in [*claimed.new, *claimed.left]:
            self.model.claimed(entry.id, consumer.name)
        for entry_id in claimed.lost:
            self.model.claimed(entry_id, consumer.name)
        begun = consumer.begin(TUTORS, claimed.left[:1])
        for entry in begun:
            self.model.begun(entry.id)
        self.hands.append(Hand(consumer, [*claimed.new, *begun]))
        self.model.swept(self._seen())

    @precondition(lambda self: self.hands)
    @rule(pick=picks)
    def a_zombie_ends_its_work(self, pick: int) -> None:
        hand = _nth(self.hands, pick)
        self.hands.remove(hand)
        settlements = self._settle(hand)
        dead = [Letter(one.arrival.entry, one.rejection) for one in settlements if one.rejection]
        pending = {one.id for one in self.model.at(Place.PENDING)}
        hand.consumer.dead_letter(TUTORS, dead)
        seen = self._seen()
        for letter in dead:
            if letter.entry.id in pending:
                self.model.buried(
                    self.model.items[letter.entry.id], seen, body_at_hand=not letter.entry.deleted
                )
        done = [one.arrival.entry.id for one in settlements if not one.rejection]
        hand.consumer.acknowledge(TUTORS, *done)
        for entry_id in done:
            self.model.acknowledged(self.model.items[entry_id])
        self.model.swept(self._seen())

    @rule(most=st.none() | few, batch_size=few)
    def store(self, most: int | None, batch_size: int) -> None:
        self._drain(most=most, batch_size=batch_size)

    @precondition(lambda self: self._good())
    @rule(pick=picks, most=st.none() | few, batch_size=few)
    def store_while_one_fails(self, pick: int, most: int | None, batch_size: int) -> None:
        message_id = _nth(self._good(), pick).message_id
        assert message_id is not None
        self._drain(most=most, batch_size=batch_size, failing=(message_id,))

    @rule(batch_size=few)
    def store_after_whoever_held_messages_counts_as_gone(self, batch_size: int) -> None:
        self._drain(most=None, batch_size=batch_size, late=True)

    # Operators and time

    @precondition(lambda self: any(one.scheduled for one in self.model.items.values()))
    @rule()
    def retries_become_due(self) -> None:
        key = self.client.keys.retry(TUTORS)
        scheduled = self.client.redis.zrange(key, 0, -1)
        if scheduled:
            self.client.redis.zadd(key, dict.fromkeys(scheduled, 0), xx=True)
        self.model.time_for_retries()

    @rule()
    def give_back_all(self) -> None:
        assert reclaim(self.client, TUTORS, min_idle_ms=0).given_back == self.model.given_back()

    @precondition(lambda self: self.hands)
    @rule(pick=picks)
    def give_back_what_one_held(self, pick: int) -> None:
        name = _nth(self.hands, pick).consumer.name
        report = reclaim(self.client, TUTORS, consumer=name, min_idle_ms=0)
        assert report.given_back == self.model.given_back(name)

    @precondition(lambda self: self.model.letters)
    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def redrive(self, chosen: list[int]) -> None:
        letters = self._chosen(chosen)
        report = self._letters().redrive([one.id for one in letters], dry_run=False)
        ready = [one for one in letters if b"message" in one.content.fields and _redrives(one) < MAX_REDRIVES]
        new = self._new_entries()
        assert len(new) == report.redriven
        assert report.redriven == len(ready) or report.full
        for one, entry_id in zip(ready, new, strict=False):
            self._published_again(one, entry_id, one.content)
        self.model.swept(self._seen())

    @precondition(lambda self: self.model.letters)
    @rule(pick=picks)
    def edit(self, pick: int) -> None:
        (letter,) = self._chosen([pick])
        row = letter.content.row
        name = self._name("edited")
        try:
            entry_id = self._letters().edit(
                letter.id, {"name": name, "rating": None}, who="ann", why="mended"
            )
        except EditRefusedError:
            assert row is None or not letter.content.fields
            return
        except QueueFullError:
            self._is_full()
            return
        assert row is not None
        row = row[0], name, row[2]
        body = self.client.redis.xrange(self.stream, entry_id, entry_id)[0][1][b"message"]
        assert orjson.loads(body)["data"] == {"tutor_id": row[0], "name": name}
        fields = {**letter.content.fields, b"message": body}
        self.model.archive[letter.id, "edited"] = letter.content.fields[b"message"]
        self._published_again(letter, entry_id, Content(fields, orjson.loads(body)["id"], None, row))
        self.model.swept(self._seen())

    @precondition(lambda self: self.model.letters)
    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def discard(self, chosen: list[int]) -> None:
        letters = self._chosen(chosen)
        report = self._letters().discard([one.id for one in letters], who="ann", why="old", dry_run=False)
        assert report.discarded == len(letters)
        for one in letters:
            self.model.archive[one.id, "discarded"] = one.content.fields.get(b"message")
            del self.model.letters[one.id]

    @rule()
    def maintain_much_later(self) -> None:
        maintain_all(self.client, self.store, 1, datetime.now(UTC) + timedelta(days=10))
        seen = self._seen()
        self.model.swept(seen)
        # Nothing is promised of whoever sleeps for longer than the ledger is kept, and then goes on.
        pruned = {one.id for one in self.model.items.values() if one.pruned}
        self.hands = [hand for hand in self.hands if pruned.isdisjoint(entry.id for entry in hand.entries)]
        if not self.model.at(Place.WAITING) + self.model.at(Place.PENDING):
            assert not seen.stream, "processed, old, and kept"

    # Trouble

    @rule()
    def destroy_the_group(self) -> None:
        if self.client.redis.exists(self.stream):
            self.client.redis.xgroup_destroy(self.stream, CONSUMER_GROUP)
            self.model.group_lost()

    @precondition(lambda self: self._unprocessed())
    @rule(pick=picks)
    def delete_from_outside(self, pick: int) -> None:
        one = _nth(self._unprocessed(), pick)
        self.client.redis.xdel(self.stream, one.id)
        self.model.deleted(one.id)

    @precondition(lambda self: self.restarts == 0)
    @rule(kill=st.booleans())
    def restart_the_server(self, kill: bool) -> None:
        self.restarts += 1
        _ = self.server.kill() if kill else self.server.stop()
        try:
            drain(MessageConsumer(self.client), self.store, TUTORS, run_id="r")
        except QueueUnavailableError:
            pass
        else:
            raise AssertionError("a drain without a server has to say so")
        finally:
            self.server.start()
            keep_every_write(self.client)

    # What holds at any time

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        self.model.check(self._seen())

    @rule()
    def look_at_the_books(self) -> None:
        found = books.look(self.client, self.store, TUTORS, datetime.now(UTC))
        assert not found.rewound
        assert found.unrecorded == ()
        assert found.difference == self.model.unaccounted()
        deleted = {
            one.id for one in self.model.at(Place.PENDING) if not one.in_stream and one.outcome is None
        }
        assert set(found.deleted_pending) == deleted

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._everything_ends_well()
        finally:
            keys = self.client.redis.keys(f"{self.client.settings.key_prefix}:*")
            if keys:
                self.client.redis.delete(*keys)
            self.client.close()
            self.client_later.close()
            self.store.close()
            for file in self.folder.glob(f"{self.file.name}*"):
                file.unlink()

    def _everything_ends_well(self) -> None:
        for _ in range(MAX_RETRIES + 2):
            self.retries_become_due()
            self._drain(most=None, batch_size=3, late=True)
            self.everything_is_as_the_model_says()
        assert not self.model.at(Place.WAITING) + self.model.at(Place.PENDING)
        self.look_at_the_books()
        self.maintain_much_later()
        keys = self.client.keys
        assert not self.client.redis.exists(keys.retry(TUTORS), keys.processing(TUTORS))
        self.everything_is_as_the_model_says()
        self.look_at_the_books()

    def _seen(self) -> Seen:
        return observe(self.client, self.store)

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.names}"

    def _publish(self, message_id: str, row: tuple[str, str, datetime]) -> None:
        record_id, name, moment = row
        try:
            MessagePublisher(self.client).publish(
                TUTORS, {"tutor_id": record_id, "name": name}, message_id=message_id, published_at=moment
            )
        except QueueFullError:
            self._is_full()
            return
        (entry_id,) = self._new_entries()
        body = _body(self.stream, message_id, row)
        self.model.added(entry_id, Content({b"message": body}, message_id, None, row))
        self.model.swept(self._seen())

    def _is_full(self) -> None:
        # Where the server lost count, all entries count: see room.lua.
        assert sum(one.in_stream for one in self.model.items.values()) >= QUEUE_MAXLEN
        self.model.swept(self._seen())

    def _new_entries(self) -> list[str]:
        last = max((one.position for one in self.model.items.values()), default=None)
        start = "-" if last is None else f"({last}"
        return [i.decode() for i, _ in self.client.redis.xrange(self.stream, start)]

    def _published_again(self, letter: HeldLetter, entry_id: str, content: Content) -> None:
        fields = {**content.fields, b"redrives": str(_redrives(letter) + 1).encode()}
        del self.model.letters[letter.id]
        self.model.added(entry_id, replace(content, fields=fields))

    def _read(self, count: int) -> Hand:
        consumer = MessageConsumer(self.client, self._name("dead"))
        waiting = sorted(self.model.at(Place.WAITING), key=lambda one: one.position)
        entries = consumer.read(TUTORS, count)
        assert [entry.id for entry in entries] == [one.id for one in waiting[:count]]
        for entry in entries:
            self.model.read(entry.id, consumer.name)
        hand = Hand(consumer, entries)
        if entries:
            self.hands.append(hand)
        return hand

    def _settle(self, hand: Hand) -> list:
        settler = Settler(hand.consumer, self.store, TUTORS, hand.consumer.name)
        settlements, failures = settler.settle(hand.entries)
        assert not failures
        seen = self._seen()
        for entry in hand.entries:
            one = self.model.items[entry.id]
            self.model.settled_by(
                one, seen, deliveries=entry.deliveries, failures=entry.failures, deleted=entry.deleted
            )
        return settlements

    def _drain(
        self, *, most: int | None, batch_size: int, late: bool = False, failing: tuple[str, ...] = ()
    ) -> DrainReport:
        client = self.client_later if late else self.client
        run_id = self._name("run")
        limits = DrainLimits(batch_size=batch_size, max_messages=most)
        real = judge.validate

        def validate(contract: type[Record], message: Message) -> Record | Rejection:
            if message.id in failing:
                raise KeyError(message.id)
            return real(contract, message)

        judge.validate = validate
        try:
            report = drain(MessageConsumer(client, run_id), self.store, TUTORS, run_id=run_id, limits=limits)
        finally:
            judge.validate = real
        self.model.drained(self._seen(), most=most, late=late, failing=failing)
        return report

    def _letters(self) -> DeadLetters:
        return dead_letters(self.client, self.store)

    def _chosen(self, numbers: Iterable[int]) -> list[HeldLetter]:
        letters = sorted(self.model.letters.values(), key=lambda one: one.id)
        ids = sorted({_nth(letters, number).id for number in numbers}, key=_position)
        return [self.model.letters[i] for i in ids]

    def _good(self) -> list[Content]:
        return [one.content for one in self.model.items.values() if one.content.reason is None]

    def _unprocessed(self) -> list[Item]:
        return [one for one in self.model.items.values() if one.in_stream and one.place is not Place.DONE]


def keep_every_write(client: RedisClient) -> None:
    """A killed server forgets nothing that it answered."""
    client.redis.config_set("appendfsync", "always")


def _body(stream: str, message_id: str, row: tuple[str, str, datetime], **more: object) -> bytes:
    record_id, name, moment = row
    data = {"tutor_id": record_id, "name": name, **more}
    return serialize(stream, data, message_id=message_id, published_at=moment)


def _redrives(letter: HeldLetter) -> int:
    return int(letter.content.fields.get(b"redrives", b"0"))


def _position(letter_id: str) -> tuple[int, ...]:
    return tuple(int(part) for part in letter_id.split("-"))


def _nth(options: list, number: int):
    return options[number % len(options)]
