"""What must become of every entry, as a pure model: no server, no database, no clock.

The model holds each entry that was ever added to one channel's stream. A rule of the machine tells it what
was done; it refuses, with an assertion, an outcome that the guarantees do not allow. Where several outcomes
are right (which entries a bounded drain takes), the one that was seen is taken over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from queue_core.channels import RELEASED_CONSUMER
from queue_core.entry_id import ZERO, EntryId
from queue_core.outcomes import Outcome, Reason
from tests.model.entries import Content, HeldLetter, Item, Place, Seen

#: So few that a machine uses them up.
MAX_RETRIES = 1
#: Deliveries that ended with their process before a message counts as deadly.
DEADLY = max(2, MAX_RETRIES + 1)


@dataclass
class Model:
    """Everything that was ever published, and where it must be."""

    items: dict[str, Item] = field(default_factory=dict)
    letters: dict[str, HeldLetter] = field(default_factory=dict)
    archive: dict[tuple[str, str], bytes | None] = field(default_factory=dict)
    #: Best row so far of each record, with the message and the entry that made it.
    rows: dict[str, tuple[str, datetime, str, str]] = field(default_factory=dict)
    delivered: EntryId = ZERO

    def at(self, place: Place) -> list[Item]:
        return [one for one in self.items.values() if one.place is place]

    def available(self, late: bool = False) -> list[Item]:
        return [one for one in self.items.values() if one.available(late)]

    @property
    def orphans_in_retry(self) -> bool:
        """Whether the retry set has entries that are not pending, which a drain only sweeps up."""
        return any(one.scheduled and one.place is not Place.PENDING for one in self.items.values())

    # What the world does

    def added(self, entry_id: str, content: Content) -> None:
        assert all(one.position < EntryId.parse(entry_id) for one in self.items.values())
        self.items[entry_id] = Item(entry_id, content)

    def read(self, entry_id: str, consumer: str) -> None:
        one = self.items[entry_id]
        assert one.place is Place.WAITING, "delivered for the first time, and twice"
        self.delivered = max(self.delivered, one.position)
        one.place, one.delivered, one.failures = Place.PENDING, 1, 0
        one.holder, one.stale = consumer, False

    def claimed(self, entry_id: str, consumer: str) -> None:
        one = self.items[entry_id]
        assert one.available(late=False), "taken from somebody who may be at work"
        assert one.place is Place.PENDING
        one.scheduled = one.due = False
        if one.in_stream:
            one.holder, one.stale, one.delivered = consumer, False, max(1, one.delivered)
            one.failures = one.attempts

    def begun(self, entry_id: str) -> None:
        self.items[entry_id].delivered += 1

    def given_back(self, consumer: str | None = None) -> int:
        """All that a consumer holds (or any), but for retries, is free to be taken; returns how many."""
        chosen = [
            one
            for one in self.at(Place.PENDING)
            if not one.scheduled
            and one.in_stream
            and one.holder != RELEASED_CONSUMER
            and consumer in (None, one.holder)
        ]
        for one in chosen:
            one.holder, one.stale = RELEASED_CONSUMER, True
        return len(chosen)

    def given_back_unprocessed(self, seen: Seen) -> None:
        """A drain had some in hand when it met with trouble that is not theirs: nothing is counted."""
        self.swept(seen)
        for one in self.available():
            taken = one.id in seen.pending if one.place is Place.WAITING else one.id not in seen.retry
            if not taken:
                continue
            if one.place is Place.WAITING:
                self.delivered = max(self.delivered, one.position)
                one.place, one.delivered = Place.PENDING, 0
            elif one.scheduled:
                one.scheduled = one.due = False
                one.stale = False
            if one.in_stream:
                one.holder, one.stale = RELEASED_CONSUMER, True
                one.failures = one.attempts

    def time_for_retries(self) -> None:
        for one in self.items.values():
            one.due = one.scheduled

    def deleted(self, entry_id: str) -> None:
        one = self.items[entry_id]
        one.in_stream = False
        if one.place is Place.WAITING:
            one.place = Place.DONE

    def group_lost(self) -> None:
        """Everything in the stream is delivered anew; the ledger knows what it has seen."""
        self.delivered = ZERO
        for one in self.items.values():
            one.place = Place.WAITING if one.in_stream else Place.DONE
            one.delivered, one.failures, one.holder, one.stale = 0, 0, "", False

    def swept(self, seen: Seen) -> None:
        """Entries that were trimmed, rows that were pruned, retries of entries that are not pending."""
        for one in self.items.values():
            if one.in_stream and one.id not in seen.stream:
                assert one.place is Place.DONE, "trimmed although it is not processed"
                one.in_stream = False
            if one.recorded and one.id not in seen.ledger:
                assert one.outcome is not Outcome.LOST, "the evidence of a loss was pruned"
                assert not one.in_stream, "pruned although it can be read again"
                assert one.place is Place.DONE, "pruned although it is pending"
                one.pruned = True
            if one.place is not Place.PENDING:
                one.scheduled = one.scheduled and one.id in seen.retry
                one.due = one.scheduled and seen.retry[one.id]
                one.attempts = min(one.attempts, seen.attempts.get(one.id, 0))

    # What a drain does

    def judge(self, one: Item, *, deliveries: int, failures: int, failing: Collection[str]) -> object:
        """``Reason`` of a dead letter, ``Outcome.LOST``, ``"retry"``, or None where it is to be stored."""
        content = one.content
        if deliveries > 2 and deliveries - 1 - failures >= DEADLY:
            return Reason.CRASH_LOOP
        if not content.meets_the_contract_check:
            return content.reason
        if content.message_id in failing:
            return "retry" if failures < MAX_RETRIES else Reason.RETRIES_EXHAUSTED
        return content.reason

    def drained(
        self, seen: Seen, *, most: int | None, late: bool = False, failing: Collection[str] = ()
    ) -> int:
        """A drain ended; returns how many entries it processed."""
        available = self.available(late)
        processed = [one for one in available if _was_processed(one, seen)]
        wanted = len(available) if most is None else min(most, len(available))
        if self.orphans_in_retry:
            assert len(processed) <= wanted
        else:
            assert len(processed) == wanted, f"{len(processed)} were processed of {wanted}"
        for one in processed:
            self._process(one, seen, failing)
        self.delivered = max([self.delivered, *(one.position for one in processed if one.in_stream)])
        self.swept(seen)
        return len(processed)

    def settled_by(self, one: Item, seen: Seen, *, deliveries: int, failures: int, deleted: bool) -> None:
        """Somebody wrote an entry, as it was when he read it, to the store, and has not acknowledged it."""
        judged = (
            Outcome.LOST if deleted else self.judge(one, deliveries=deliveries, failures=failures, failing=())
        )
        assert judged != "retry"
        self._record(one, judged, seen)

    def buried(self, one: Item, seen: Seen, *, body_at_hand: bool) -> None:
        """It was pending, and whoever gave it up wrote a letter of it."""
        before = {letter.id for letter in self.letters.values() if letter.entry_id == one.id}
        new = [
            i
            for i, fields in seen.letters.items()
            if fields[b"entry_id"] == one.id.encode() and i not in before
        ]
        # One delivered anew by a group that was lost has its letter already.
        assert len(new) == (0 if one.letters else 1), f"{len(new)} more letters of {one.id}"
        for letter_id in new:
            content = one.content if body_at_hand else replace(one.content, fields={})
            self.letters[letter_id] = HeldLetter(letter_id, one.id, content)
        one.letters += len(new)
        self.acknowledged(one)

    def acknowledged(self, one: Item) -> None:
        if one.place is Place.PENDING:
            one.place = Place.DONE
            one.holder, one.stale = "", False

    def _process(self, one: Item, seen: Seen, failing: Collection[str]) -> None:
        replayed = one.place is Place.WAITING
        deliveries = one.delivered + 1
        failures = 0 if replayed else one.attempts
        judged = (
            Outcome.LOST
            if not one.in_stream
            else self.judge(one, deliveries=deliveries, failures=failures, failing=failing)
        )
        one.place = Place.PENDING
        if judged == "retry":
            if one.id in seen.pending:
                self._rescheduled(one, seen, deliveries)
                return
            assert one.attempts + 1 > MAX_RETRIES, "given up before its retries were used up"
            judged = Reason.RETRIES_EXHAUSTED
        self._record(one, judged, seen)
        if one.outcome is Outcome.DEAD_LETTERED:
            self.buried(one, seen, body_at_hand=one.in_stream)
        else:
            self.acknowledged(one)
        one.scheduled, one.due = one.id in seen.retry, seen.retry.get(one.id, False)
        one.attempts = seen.attempts.get(one.id, 0)

    def _rescheduled(self, one: Item, seen: Seen, deliveries: int) -> None:
        counted = seen.attempts[one.id]
        assert counted == one.attempts + 1 or (counted == 1 and one.scheduled), "attempts were forgotten"
        one.attempts = one.failures = counted
        one.scheduled, one.due = True, False
        one.delivered, one.holder, one.stale = deliveries, RELEASED_CONSUMER, False

    def _record(self, one: Item, judged: object, seen: Seen) -> None:
        if one.outcome is not None:
            return
        assert one.id in seen.ledger, "processed, and not in the ledger"
        outcome, reason = seen.ledger[one.id]
        message_id = one.content.message_id
        if judged is None:
            assert outcome in (Outcome.STORED, Outcome.DUPLICATE), f"a good message is {outcome}, {reason}"
        elif judged is Outcome.LOST:
            assert outcome is Outcome.LOST
        else:
            assert (outcome, reason) == (Outcome.DEAD_LETTERED, judged)
        one.outcome, one.reason = outcome, reason
        if outcome is Outcome.STORED:
            assert one.content.row is not None
            assert message_id is not None
            record_id, name, moment = one.content.row
            held = self.rows.get(record_id)
            if held is None or (held[1], EntryId.parse(held[3])) < (moment, one.position):
                self.rows[record_id] = name, moment, message_id, one.id

    def _one_stored_of_each_message(self) -> None:
        outcomes: dict[str, list[Outcome]] = {}
        for one in self.items.values():
            if one.recorded and one.outcome in (Outcome.STORED, Outcome.DUPLICATE):
                outcomes.setdefault(one.content.message_id or "", []).append(one.outcome)
        pruned = {one.content.message_id for one in self.items.values() if one.pruned}
        for message_id, found in outcomes.items():
            stored = found.count(Outcome.STORED)
            assert stored == 1 or (stored == 0 and message_id in pruned), (
                f"{message_id} has effect {stored} times"
            )

    # What the system must show

    def check(self, seen: Seen) -> None:
        """Everything that can be seen is as the model says."""
        items = self.items
        assert set(seen.stream) == {one.id for one in items.values() if one.in_stream}
        assert all(seen.stream[i] == dict(items[i].content.fields) for i in seen.stream)
        pending = {one.id: (one.holder, one.delivered, one.stale) for one in self.at(Place.PENDING)}
        assert seen.pending == pending
        assert seen.delivered == self.delivered or not self.at(Place.WAITING)
        ledger = {one.id: (one.outcome, one.reason) for one in items.values() if one.recorded}
        assert seen.ledger == ledger
        assert seen.totals == Counter(one.outcome for one in items.values() if one.pruned)
        assert seen.rows == self.rows
        assert seen.archive == self.archive
        self._one_stored_of_each_message()
        self._check_retries(seen)
        self._check_letters(seen)

    def unaccounted(self) -> int:
        """What the books must miss: deleted from outside before it was delivered, or with the group."""
        kept = [one.position for one in self.items.values() if one.in_stream]
        newest = max((one.position for one in self.items.values()), default=ZERO)
        bound = max(self.delivered.following, min(kept, default=newest.following))
        return sum(
            one.place is Place.DONE and not one.pruned and (one.outcome is None or one.position >= bound)
            for one in self.items.values()
        )

    def _check_retries(self, seen: Seen) -> None:
        for one in self.items.values():
            if one.place is Place.PENDING:
                assert (one.id in seen.retry) == one.scheduled
                assert seen.attempts.get(one.id, 0) == one.attempts
        assert set(seen.retry) | set(seen.attempts) <= set(self.items)

    def _check_letters(self, seen: Seen) -> None:
        assert set(seen.letters) == set(self.letters)
        for letter_id, fields in seen.letters.items():
            held = self.letters[letter_id]
            received = {
                k.removeprefix(b"field:"): v
                for k, v in fields.items()
                if k.startswith(b"field:") or k == b"message"
            }
            assert received == dict(held.content.fields), "a letter keeps the bytes received"


def _was_processed(one: Item, seen: Seen) -> bool:
    if one.id in seen.pending:
        if one.place is Place.WAITING:
            return True
        return seen.attempts.get(one.id, 0) != one.attempts or (one.id in seen.retry) != one.scheduled
    if one.place is Place.WAITING:
        return one.position <= seen.delivered
    return True
