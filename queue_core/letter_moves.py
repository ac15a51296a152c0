"""Moving dead letters out of their stream: many in one round trip, each atomically for itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from redis.exceptions import OutOfMemoryError

from queue_core.channels import QueueChannels
from queue_core.client import RedisClient
from queue_core.errors import QueueError, QueueUnavailableError
from queue_core.failpoints import around
from queue_core.letter import DeadLetter
from queue_core.letter_counts import counted_as
from queue_core.making_room import TURNS_ENTRIES, trim_any

#: Arguments of a script: keys, then the others.
_Call = tuple[Sequence[str], Sequence[str | bytes | int]]


class MoveOutcome(Enum):
    """What became of a letter that was to be moved."""

    MOVED = auto()
    #: Somebody else was faster.
    GONE = auto()
    #: It stays, because its queue is full.
    FULL = auto()
    #: The server answered with an error.
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Move:
    """What became of one letter.

    Attributes:
        letter: the letter.
        outcome: moved or not.
        entry_id: its new entry, where it was redriven.
        error: what the server answered, where it failed.
    """

    letter: DeadLetter
    outcome: MoveOutcome
    entry_id: str = ""
    error: Exception | None = None


def move_back(client: RedisClient, letters: Sequence[DeadLetter], *, body: bytes | None = None) -> list[Move]:
    """Put letters into the streams of their channels; ``body`` takes the place of their message.

    Where the memory is full, processed entries make room for them.

    Raises:
        QueueUnavailableError: Redis did not answer; which were moved is seen by looking again.
    """
    keys, most = client.keys, client.settings.queue_maxlen
    edited = [] if body is None else [body]
    calls: list[_Call] = [
        (
            [keys.dead_letter, keys.dead_letter_counts, keys.stream(QueueChannels.find(letter.channel))],
            [letter.id, letter.channel, most, letter.redrives + 1, *edited],
        )
        for letter in letters
    ]
    replies = _run(client, "redrive", calls)
    for entries in TURNS_ENTRIES:
        refused = [n for n, reply in enumerate(replies) if isinstance(reply, OutOfMemoryError)]
        if not refused or not trim_any(client, QueueChannels.find(letters[refused[0]].channel), entries):
            break
        for n, reply in zip(refused, _run(client, "redrive", [calls[n] for n in refused]), strict=True):
            replies[n] = reply
    return [_move(letter, reply) for letter, reply in zip(letters, replies, strict=True)]


def remove(client: RedisClient, letters: Sequence[DeadLetter]) -> list[Move]:
    """Remove letters.

    Raises:
        QueueUnavailableError: Redis did not answer; which were removed is seen by looking again.
    """
    keys = [client.keys.dead_letter, client.keys.dead_letter_counts]
    replies = _run(client, "discard", [(keys, [letter.id, counted_as(letter.channel)]) for letter in letters])
    return [_move(letter, reply) for letter, reply in zip(letters, replies, strict=True)]


def raise_first(client: RedisClient, moves: Sequence[Move]) -> None:
    """Raise the first error that the server answered, as this library's."""
    for move in moves:
        if move.error is not None:
            with client.errors():
                raise move.error


def raise_trouble(client: RedisClient, moves: Sequence[Move]) -> None:
    """Raise the first error that is not about one letter.

    Raises:
        QueueUnavailableError: Redis cannot do its work now.
    """
    for move in moves:
        if isinstance(error := as_ours(client, move), QueueUnavailableError):
            raise error


def as_ours(client: RedisClient, move: Move) -> QueueError | None:
    """What the server answered for a letter, as this library's error; None where it moved, or may later."""
    if move.error is None:
        return None
    try:
        with client.errors():
            raise move.error
    except QueueError as error:
        return error


def _run(client: RedisClient, script: str, calls: Sequence[_Call]) -> list[Any]:
    if not calls:
        return []
    pipeline = client.pipeline()
    for keys, args in calls:
        client.script(script)(keys=keys, args=args, client=pipeline)
    with client.errors(), around(script):
        # One that fails must not hide what became of the others.
        replies: list[Any] = pipeline.execute(raise_on_error=False)
    return replies


def _move(letter: DeadLetter, reply: Any) -> Move:
    if isinstance(reply, Exception):
        return Move(letter, MoveOutcome.FAILED, error=reply)
    if reply in (b"gone", 0):
        return Move(letter, MoveOutcome.GONE)
    if reply == b"full":
        return Move(letter, MoveOutcome.FULL)
    return Move(letter, MoveOutcome.MOVED, entry_id=reply.decode() if isinstance(reply, bytes) else "")
