"""The queue's side of the books: every entry that a stream ever had, as of one instant.

Exact while publishers and drains are at work, and whatever was deleted: the server's own ``lag``
is not asked, for it lies after deletions from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from queue_core.channels import CONSUMER_GROUP, RELEASED_CONSUMER, Channel
from queue_core.client import RedisClient
from queue_core.entry_id import LARGEST_SEQUENCE, ZERO, EntryId
from queue_core.errors import QueueError
from queue_core.letter_counts import miscounted_letters

#: Entries counted, or ids asked for, in one step.
_STEP_ENTRIES = 1_000
_TRIES = 10


@dataclass(frozen=True, slots=True)
class LetterCensus:
    """A channel's dead letters at the instant of a census.

    Attributes:
        there: in the dead letter stream.
        moved: ever moved on from there: redriven, edited or discarded.
        has_count: False where nothing was ever counted, or the counts were deleted.
        newest: newest id ever given to a letter of any channel.
    """

    there: int
    moved: int
    has_count: bool
    newest: EntryId


@dataclass(frozen=True, slots=True)
class Census:
    """A channel's stream at one instant.

    Attributes:
        channel: its name.
        group_exists: whether the consumer group is there.
        added: entries ever added.
        newest: newest id ever given.
        taken_ms: the instant, ms since 1970, by the server's clock.
        first: no entry with a smaller id is in the stream.
        delivered: last id that the group was given; 0-0 without a group.
        pending: ids of the entries delivered and not acknowledged, in order; those deleted meanwhile too.
        waiting: entries not delivered yet.
        waiting_since: of these, the ones that were added since the earlier look.
        letters: the channel's dead letters.
    """

    channel: Channel
    group_exists: bool
    added: int
    newest: EntryId
    taken_ms: int
    first: EntryId
    delivered: EntryId
    pending: tuple[str, ...]
    waiting: int
    waiting_since: int
    letters: LetterCensus

    @property
    def settled_before(self) -> EntryId:
        """An entry with a smaller id is settled, or pending, or lost; any other one waits."""
        return max(self.delivered.following, self.first)

    @property
    def horizon(self) -> EntryId:
        """Entries added later have larger ids, those of a stream that began anew too."""
        return max(self.newest, EntryId(self.taken_ms - 1, LARGEST_SEQUENCE))

    @property
    def oldest(self) -> EntryId:
        """No entry with a smaller id can still be read: neither is it in the stream nor pending."""
        return min([self.first, *(EntryId.parse(one) for one in self.pending[:1])])


def take_census(client: RedisClient, channel: Channel, since: EntryId) -> Census:
    """Count a channel's stream.

    Args:
        client: the connection.
        channel: the channel.
        since: the horizon of an earlier look.

    Raises:
        QueueUnavailableError: Redis is away.
        QueueError: the stream was trimmed faster than it could be counted, again and again.
    """
    for _ in range(_TRIES):
        with client.errors():
            census = _try(client, channel, since)
        if census is not None:
            return census
    raise QueueError(
        f"The entries that wait in {channel} were taken away faster than they could be counted. Look again."
    )


def entries_in_stream(client: RedisClient, census: Census) -> list[str]:
    """Ids of the entries that were delivered, are not pending and are still in the stream, in order."""
    stream, pending = client.keys.stream(census.channel), set(census.pending)
    found: list[str] = []
    after = str(ZERO)
    while True:
        with client.errors():
            page = client.run("delivered_ids", [stream], [after, str(census.delivered), _STEP_ENTRIES])
        ids = [entry_id.decode() for entry_id in page]
        found += [entry_id for entry_id in ids if entry_id not in pending]
        if len(ids) < _STEP_ENTRIES:
            return found
        after = ids[-1]


def deleted_while_pending(client: RedisClient, census: Census) -> list[str]:
    """Ids of the entries that are pending and were deleted from the stream: these are lost."""
    stream = client.keys.stream(census.channel)
    found: list[str] = []
    for part in _parts(census.pending):
        with client.errors():
            answer = client.run("deleted_pending", [stream], [CONSUMER_GROUP, *part])
        found += [entry_id.decode() for entry_id in answer]
    return found


def put_back(client: RedisClient, channel: Channel, entry_ids: Sequence[str]) -> int:
    """Make delivered entries pending again, for the next drain to take up.

    Returns:
        How many; those that are pending already, or not in the stream, are left alone.
    """
    total = 0
    for part in _parts(entry_ids):
        with client.errors():
            total += int(
                client.run(
                    "put_back", [client.keys.stream(channel)], [CONSUMER_GROUP, RELEASED_CONSUMER, *part]
                )
            )
    return total


def _try(client: RedisClient, channel: Channel, since: EntryId) -> Census | None:
    stream = client.keys.stream(channel)
    keys = [stream, client.keys.dead_letter, client.keys.dead_letter_counts]
    exists, added, first, newest, delivered, now_ms, pending, older, newer, letters = client.run(
        "books", keys, [CONSUMER_GROUP, str(since), _STEP_ENTRIES, channel.name]
    )
    last = EntryId.parse(newest.decode())
    waiting = []
    for (counted, after), end in ((older, min(since, last)), (newer, last)):
        more = _count_on(client, stream, after.decode(), end) if counted >= _STEP_ENTRIES else 0
        if more is None:
            return None
        waiting.append(counted + more)
    return Census(
        channel=channel,
        group_exists=bool(exists),
        added=added,
        newest=last,
        taken_ms=int(now_ms),
        first=EntryId.parse(first.decode()) if first else last.following,
        delivered=EntryId.parse(delivered.decode()),
        pending=tuple(entry_id.decode() for entry_id in pending),
        waiting=sum(waiting),
        waiting_since=waiting[1],
        letters=_letters(client, channel, letters),
    )


def _letters(client: RedisClient, channel: Channel, reply: Sequence[Any]) -> LetterCensus:
    counted, moved, has_count, newest, total, counted_in_all = reply
    # What is counted wrong (somebody deleted letters by hand) stays as wrong whatever is moved meanwhile.
    wrong = 0 if total == counted_in_all else miscounted_letters(client)[channel.name]
    return LetterCensus(counted - wrong, moved, bool(has_count), EntryId.parse(newest.decode()))


def _count_on(client: RedisClient, stream: str, after: str, end: EntryId) -> int | None:
    total, more = 0, 1
    while more:
        answer = client.run("count_entries", [stream], [after, str(end), _STEP_ENTRIES])
        if answer is None:
            return None
        counted, last, more = answer
        total, after = total + counted, last.decode()
    return total


def _parts(entry_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(entry_ids), _STEP_ENTRIES):
        yield entry_ids[start : start + _STEP_ENTRIES]
