"""The machine that does to the real system, and to the model, the same things in any order."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from queue_core import MessageConsumer, MessagePublisher
from queue_core.channels import CONSUMER_GROUP
from queue_core.dead_letter import MAX_REDRIVES, Letter
from queue_core.entry import Delivery
from queue_core.errors import EditRefusedError, QueueFullError, QueueUnavailableError
from queue_core.outcomes import Reason
from queue_core.reclaim import reclaim
from tests.model.entries import Content, Place
from tests.model.specification import MAX_RETRIES
from tests.model.system import START, TUTORS, Hand, System, body, keep_every_write, nth, redrives
from tutormax_pipeline import books
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.maintenance import maintain_all
from tutormax_pipeline.store import Store, StoreUnavailableError

picks = st.integers(0, 7)
few = st.integers(1, 3)
messages = st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 3)), min_size=1, max_size=4)


class Pipeline(System):
    """Rules are what happens to the queue; after each, everything must be as the model says."""

    # Publishing

    @initialize(messages=messages)
    def publish_first(self, messages: list[tuple[str, int]]) -> None:
        self.publish(messages)

    @rule(messages=messages)
    def publish(self, messages: list[tuple[str, int]]) -> None:
        for record_id, minute in messages:
            name = self._name("n")
            self._publish(name, (f"T-{record_id}", name, START + timedelta(minutes=minute)))

    @precondition(lambda self: self._good())
    @rule(pick=picks)
    def publish_again(self, pick: int) -> None:
        content = nth(self._good(), pick)
        assert content.message_id is not None and content.row is not None  # noqa: PT018
        self._publish(content.message_id, content.row)

    @rule(
        kind=st.sampled_from(["malformed", "no_message", "checksum", "invalid"]),
        record_id=st.sampled_from("AB"),
    )
    def add_bad_bytes(self, kind: str, record_id: str) -> None:
        name = self._name("bad")
        row = (f"T-{record_id}", name, START)
        good = body(self.stream, name, row)
        contents = {
            "malformed": Content({b"message": b"\xff" + name.encode()}, None, Reason.MALFORMED),
            "no_message": Content({b"other": name.encode()}, None, Reason.MALFORMED),
            "checksum": Content(
                {b"message": good.replace(b'"checksum":"', b'"checksum":"0')},
                name,
                Reason.CHECKSUM_MISMATCH,
                row,
            ),
            "invalid": Content(
                {b"message": body(self.stream, name, row, rating=99)}, name, Reason.INVALID, row
            ),
        }
        content = replace(contents[kind], fields={**contents[kind].fields, b"trace": b"\x00"})
        self.model.added(self.client.redis.xadd(self.stream, dict(content.fields)).decode(), content)

    # Processes that come and go

    @rule(count=few, noticed=st.booleans())
    def read_and_crash(self, count: int, noticed: bool) -> None:
        self._read(count)
        if noticed:
            self.give_back_all()

    @rule(count=few)
    def read_commit_and_crash(self, count: int) -> None:
        hand = self._read(count)
        self._settle(hand)

    @precondition(lambda self: any(one.place is Place.PENDING for one in self.model.available()))
    @rule(count=few, noticed=st.booleans())
    def take_over_begin_one_and_crash(self, count: int, noticed: bool) -> None:
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
        if noticed:
            self.give_back_all()

    @precondition(lambda self: self.hands)
    @rule(pick=picks)
    def a_zombie_ends_its_work(self, pick: int) -> None:
        hand = nth(self.hands, pick)
        self.hands.remove(hand)
        settlements = self._settle(hand)
        dead = [Letter(one.arrival.entry, one.rejection) for one in settlements if one.rejection]
        pending = {one.id for one in self.model.at(Place.PENDING)}
        hand.consumer.dead_letter(TUTORS, dead)
        seen = self._seen()
        for letter in dead:
            if letter.entry.id in pending:
                self.model.buried(
                    self.model.items[letter.entry.id],
                    seen,
                    body_at_hand=letter.entry.delivery is not Delivery.DELETED,
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
    @rule(pick=picks, most=st.none() | few, batch_size=few, due=st.booleans())
    def store_while_one_fails(self, pick: int, most: int | None, batch_size: int, due: bool) -> None:
        waiting = [one.content for one in self._unprocessed() if one.content.reason is None]
        message_id = nth(waiting or self._good(), pick).message_id
        assert message_id is not None
        if due:
            self.retries_become_due()
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
        name = nth(self.hands, pick).consumer.name
        report = reclaim(self.client, TUTORS, consumer=name, min_idle_ms=0)
        assert report.given_back == self.model.given_back(name)

    @precondition(lambda self: self.model.letters)
    @rule(chosen=st.lists(picks, min_size=1, max_size=3))
    def redrive(self, chosen: list[int]) -> None:
        letters = self._chosen(chosen)
        report = self._letters().redrive([one.id for one in letters], dry_run=False)
        ready = [one for one in letters if b"message" in one.content.fields and redrives(one) < MAX_REDRIVES]
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
        mended = self.client.redis.xrange(self.stream, entry_id, entry_id)[0][1][b"message"]
        assert orjson.loads(mended)["data"] == {"tutor_id": row[0], "name": name}
        fields = {**letter.content.fields, b"message": mended}
        self.model.archive[letter.id, "edited"] = letter.content.fields[b"message"]
        self._published_again(letter, entry_id, Content(fields, orjson.loads(mended)["id"], None, row))
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
    def memory_runs_out_while_somebody_publishes(self) -> None:
        name = self._name("n")
        row, full = ("T-A", name, START), False
        self.client.redis.config_set("maxmemory", 1)
        try:
            MessagePublisher(self.client_later).publish(
                TUTORS, {"tutor_id": row[0], "name": name}, message_id=name, published_at=START
            )
        except QueueUnavailableError:
            full = True
        except QueueFullError:
            pass
        finally:
            self.client.redis.config_set("maxmemory", 0)
        for entry_id in self._new_entries():
            self.model.added(entry_id, Content({b"message": body(self.stream, name, row)}, name, None, row))
        self.model.swept(self._seen())
        # One that was deleted while it was pending holds back what is behind it.
        held = [one for one in self.model.items.values() if one.in_stream or one.place is Place.PENDING]
        oldest = min(held, key=lambda one: one.position, default=None)
        if full and oldest:
            assert oldest.place is not Place.DONE, "refused although something processed could have gone"

    @rule()
    def destroy_the_group(self) -> None:
        if self.client.redis.exists(self.stream):
            self.client.redis.xgroup_destroy(self.stream, CONSUMER_GROUP)
            self.model.group_lost()

    @precondition(lambda self: self._unprocessed() and self.deletions < 2)
    @rule(pick=picks)
    def delete_from_outside(self, pick: int) -> None:
        one = nth(self._unprocessed(), pick)
        self.deletions += 1
        self.client.redis.xdel(self.stream, one.id)
        self.model.deleted(one.id)

    @rule(batch_size=few)
    def store_while_the_database_is_locked(self, batch_size: int) -> None:
        name, limits = self._name("run"), DrainLimits(batch_size=batch_size)
        url = f"sqlite:///{self.file}"
        with closing(sqlite3.connect(self.file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with Store(url, timeout_seconds=0) as locked, suppress(StoreUnavailableError):
                report = drain(MessageConsumer(self.client, name), locked, TUTORS, run_id=name, limits=limits)
                assert report.messages == 0
        self.model.given_back_unprocessed(self._seen())

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
        # An entry deleted after its ledger row and before its letter leaves no letter: the alarm is right.
        assert found.letters.balanced or self.deletions
        deleted = {
            one.id for one in self.model.at(Place.PENDING) if not one.in_stream and one.outcome is None
        }
        assert set(found.deleted_pending) == deleted

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._everything_ends_well()
        finally:
            self.close()

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
