"""Tracing a message: everything that queue, ledger, tables, dead letters and archive know of it.

    found = trace(client, store, "7b0c...")      # a message's id, an entry's or a dead letter's
    for message in found.messages:
        print(tell(message))                     # see ``story``

An id of an entry may stand for several messages: each channel's stream has entries of its own.
Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.entry_id import LARGEST_SEQUENCE, EntryId
from queue_core.entry_search import EntrySearch, find_entries, message_id_of
from queue_core.entry_state import EntryState, entry_state
from queue_core.letter import DeadLetter
from queue_core.letter_filter import LetterFilter
from queue_core.outcomes import Message, Outcome
from queue_core.serializer import deserialize
from tutormax_pipeline.store import Store
from tutormax_pipeline.store import trail as kept

#: Newest entries of each stream among which a message is looked for, unless another number is given.
MOST_ENTRIES = 100_000

_ENTRY_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")


@dataclass(frozen=True, slots=True)
class EntryTrail:
    """One entry of the message: where it stands in the queue, and its ledger row where it has one."""

    state: EntryState
    ledger: kept.LedgerRow | None


@dataclass(frozen=True, slots=True)
class RowTrail:
    """The row that a stored message made.

    Attributes:
        channel: whose table it is in.
        row: the row as it stands; None where it cannot be found.
        current: whether it is made from this message still, and not from a newer one.
    """

    channel: Channel
    row: kept.MadeRow | None
    current: bool


@dataclass(frozen=True, slots=True)
class MessageTrace:
    """Everything that is known of one message.

    Attributes:
        message_id: the envelope's id; None of an entry whose message cannot be read.
        envelope: the message as it can be read somewhere; None where it is nowhere any more.
        entries: its entries, oldest first.
        letters: its dead letters, as they are there now.
        archived: its dead letters that were discarded or edited.
        rows: what it made of itself in the tables.
    """

    message_id: str | None
    envelope: Message | None = field(repr=False)
    entries: tuple[EntryTrail, ...]
    letters: tuple[DeadLetter, ...]
    archived: tuple[kept.KeptLetter, ...]
    rows: tuple[RowTrail, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """What was found under an id, and where it was looked for.

    Attributes:
        asked: the id.
        messages: the messages it stands for; empty where nobody knows it.
        searches: how far each stream was searched; empty where the id is that of an unreadable entry.
    """

    asked: str
    messages: tuple[MessageTrace, ...]
    searches: tuple[EntrySearch, ...]


def trace(
    client: RedisClient,
    store: Store,
    asked: str,
    *,
    most_entries: int = MOST_ENTRIES,
    progress: Callable[[int], None] = lambda _: None,
) -> Trace:
    """Find out everything about a message.

    Args:
        client: the queue.
        store: ledger, tables and archive.
        asked: id of a message, of an entry (``1762549200000-0``) or of a dead letter.
        most_entries: of each stream, how many of the newest entries to look through.
        progress: called with the entries looked through, now and then.

    Raises:
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    # Whatever a terminal hands over: no id has characters that cannot be written.
    asked = asked.encode(errors="backslashreplace").decode()
    tracer = _Tracer(client, store, most_entries, progress)
    names, unreadable = tracer.meant(asked)
    found = [tracer.message(name) for name in names]
    found += [tracer.unreadable(channel, entry_id) for channel, entry_id in unreadable]
    messages = tuple(one for one in found if one.entries or one.letters or one.archived or one.rows)
    return Trace(asked, messages, tuple(tracer.searches))


class _Tracer:
    def __init__(
        self, client: RedisClient, store: Store, most_entries: int, progress: Callable[[int], None]
    ) -> None:
        self._client, self._store, self._letters = client, store, DeadLetters(client)
        self._most_entries, self._progress = most_entries, progress
        self.searches: list[EntrySearch] = []

    def meant(self, asked: str) -> tuple[list[str], list[tuple[Channel, str]]]:
        """Ids of the messages that are meant, and the entries meant whose message cannot be read."""
        if not is_entry_id(asked):
            return [asked], []
        names: dict[str, None] = {}
        unreadable: dict[tuple[Channel, str], None] = {}

        def add(channel: str, entry_id: str, message_id: str | None) -> None:
            if message_id is not None:
                names[message_id] = None
            elif known := [one for one in QueueChannels.all() if one.name == channel]:
                unreadable[known[0], entry_id] = None

        for channel in QueueChannels.all():
            row, state = self._ledger_row(channel, asked), entry_state(self._client, channel, asked)
            if row is not None:
                add(channel.name, asked, row.message_id)
            elif state.exists:
                add(channel.name, asked, message_id_of(state.entry.body) if state.entry else None)
        for letter in self._letters.iterate([asked], bodies=False):
            add(letter.channel, letter.entry_id, letter.message_id)
        for one in kept.kept_letters(self._store, letter_id=asked):
            add(one.channel, one.entry_id, one.message_id)
        if not names and not unreadable:
            for letter in self._letters_where(lambda letter: letter.entry_id == asked):
                add(letter.channel, letter.entry_id, letter.message_id)
            for one in kept.kept_letters(self._store, entry_id=asked):
                add(one.channel, one.entry_id, one.message_id)
        # A producer may give its messages such ids.
        return list(names) or ([] if unreadable else [asked]), list(unreadable)

    def message(self, message_id: str) -> MessageTrace:
        ledger = kept.ledger_of_message(self._store, message_id)
        letters = tuple(self._letters.iterate(LetterFilter(message_id=message_id)))
        archived = tuple(kept.kept_letters(self._store, message_id=message_id))
        places = {(row.channel, row.entry_id) for row in ledger}
        failed: list[DeadLetter | kept.KeptLetter] = [*letters, *archived]
        places |= {(one.channel, one.entry_id) for one in failed}
        for channel in QueueChannels.all():
            search = find_entries(
                self._client,
                channel,
                message_id,
                most_entries=self._most_entries,
                progress=self._progress,
            )
            self.searches.append(search)
            places |= {(channel.name, entry_id) for entry_id in search.entry_ids}
        return self._gathered(message_id, places, letters, archived)

    def unreadable(self, channel: Channel, entry_id: str) -> MessageTrace:
        def is_of_it(one: DeadLetter | kept.KeptLetter) -> bool:
            return one.channel == channel.name and one.entry_id == entry_id

        letters = self._letters_where(is_of_it)
        archived = filter(is_of_it, kept.kept_letters(self._store, entry_id=entry_id))
        return self._gathered(None, {(channel.name, entry_id)}, letters, tuple(archived))

    def _gathered(
        self,
        message_id: str | None,
        places: Iterable[tuple[str, str]],
        letters: tuple[DeadLetter, ...],
        archived: tuple[kept.KeptLetter, ...],
    ) -> MessageTrace:
        known = {channel.name: channel for channel in QueueChannels.all()}
        entries = [
            EntryTrail(
                entry_state(self._client, known[name], entry_id), self._ledger_row(known[name], entry_id)
            )
            for name, entry_id in places
            if name in known and is_entry_id(entry_id)
        ]
        entries.sort(key=lambda one: EntryId.parse(one.state.entry_id))
        bodies = [one.body for one in archived] + [one.body for one in letters]
        bodies += [one.state.entry.body for one in entries if one.state.entry is not None]
        # The newest first: of a letter that was edited that is the message as it was mended.
        read = [deserialize(body) for body in reversed(bodies)]
        envelope = next((one for one in read if isinstance(one, Message) and one.id == message_id), None)
        rows = tuple(self._rows(message_id, entries, envelope))
        return MessageTrace(message_id, envelope, tuple(entries), letters, archived, rows)

    def _rows(
        self, message_id: str | None, entries: Iterable[EntryTrail], envelope: Message | None
    ) -> Iterable[RowTrail]:
        stored = {
            one.state.channel: None
            for one in entries
            if one.ledger is not None and one.ledger.outcome in (Outcome.STORED, Outcome.DUPLICATE)
        }
        for channel in stored if message_id is not None else ():
            row = kept.row_of_message(self._store, channel, str(message_id))
            if row is not None:
                yield RowTrail(channel, row, current=True)
                continue
            key = envelope.data.get(channel.id_field) if envelope is not None else None
            newer = kept.row_of_key(self._store, channel, key) if isinstance(key, str) else None
            yield RowTrail(channel, newer, current=False)

    def _ledger_row(self, channel: Channel, entry_id: str) -> kept.LedgerRow | None:
        return kept.ledger_of_entry(self._store, channel, entry_id)

    def _letters_where(self, wanted: Callable[[DeadLetter], bool]) -> tuple[DeadLetter, ...]:
        return tuple(one for one in self._letters.iterate(bodies=False) if wanted(one))


def is_entry_id(text: str) -> bool:
    """Whether a text can be the id of an entry or a letter."""
    return bool(_ENTRY_ID.fullmatch(text)) and max(EntryId.parse(text)) <= LARGEST_SEQUENCE
