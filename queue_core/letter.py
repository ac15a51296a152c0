"""A dead letter: the message that could not be stored, its exact bytes, and why.

A letter is one entry of the stream ``<prefix>:dead_letter`` with the fields

    message        the bytes received (absent where the entry had no such field)
    field:<name>   any other field of the entry, as received
    fields         all fields, where there are more than ``MOST_FIELDS`` beside the message: a JSON list
                   of [name, value], in which each character stands for one byte (Latin-1)
    channel        name of the channel
    entry_id       its entry in the channel's stream
    message_id     the envelope's id, where it could be read
    reason         see ``outcomes.Reason``
    errors         JSON list of what was wrong; never a value of the message
    attempts       JSON list of the attempts that failed before: when, by whom, why (absent where none did)
    deliveries     how often it was delivered
    consumer       who gave it up
    failed_at      when, ISO 8601 in UTC

Reading never raises: of a letter that somebody else wrote otherwise, what can be read is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from queue_core import strict_json
from queue_core.channels import Channel, QueueChannels
from queue_core.entry import BODY_FIELD, Entry
from queue_core.outcomes import Rejection

#: Most other fields that are kept one by one: a script can pass on only some thousand values.
MOST_FIELDS = 1_000

#: Field of an entry that says how often its message was redriven before, in decimal digits.
REDRIVES_FIELD = b"redrives"

_RECEIVED = b"field:"
_PACKED = b"fields"
_OWN_FIELDS = frozenset(
    [
        BODY_FIELD,
        _PACKED,
        b"channel",
        b"entry_id",
        b"message_id",
        b"reason",
        b"errors",
        b"attempts",
        b"deliveries",
        b"consumer",
        b"failed_at",
    ]
)


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that is given up, and why: a dead letter to be."""

    entry: Entry
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that failed.

    Attributes:
        at: when, ISO 8601 in UTC.
        consumer: who tried.
        error: what went wrong.
    """

    at: str
    consumer: str
    error: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A letter as it stands in the dead letter stream.

    Attributes:
        id: its id there.
        channel: name of the channel it came from; empty where the letter does not say.
        entry_id: its entry in the channel's stream.
        message_id: the envelope's id, where it could be read.
        reason: why it is a dead letter, nearly always one of ``outcomes.Reason``.
        errors: one line a fault.
        attempts: those that failed before, oldest first.
        deliveries: how often it was delivered; 0 where the letter does not say.
        consumer: who gave it up.
        failed_at: when, in UTC; the time of its id where the letter does not say.
        redrives: how often the message was redriven before.
        redrivable: whether a redrive can put it back: it has a message and comes from a channel of ours.
        body_bytes: size of the message; None where the entry had none.
        body: the message as received; None where there was none, or where it was not asked for.
        fields: the other fields received; empty where they were not asked for.
        raw: the letter's own fields, as they stand in the stream.
    """

    id: str
    channel: str
    entry_id: str
    message_id: str | None
    reason: str
    errors: tuple[str, ...]
    attempts: tuple[Attempt, ...]
    deliveries: int
    consumer: str
    failed_at: datetime
    redrives: int
    redrivable: bool
    body_bytes: int | None
    # Kept out of its repr: they hold what people wrote.
    body: bytes | None = field(repr=False)
    fields: Mapping[bytes, bytes] = field(repr=False)
    raw: Mapping[bytes, bytes] = field(repr=False)


def write_letter(
    letter: Letter, consumer: str, channel: Channel, failed_at: datetime
) -> list[tuple[str | bytes, str | bytes]]:
    """What a letter says of its entry; the fields received and its attempts are added where it is moved."""
    entry, rejection = letter.entry, letter.rejection
    return [
        ("channel", channel.name),
        ("entry_id", entry.id),
        ("message_id", rejection.message_id or ""),
        ("reason", rejection.reason.value),
        ("errors", strict_json.dumps(list(rejection.errors))),
        ("deliveries", str(entry.deliveries)),
        ("consumer", consumer),
        ("failed_at", failed_at.isoformat()),
    ]


def received_fields(entry: Entry) -> list[tuple[str | bytes, str | bytes]]:
    """The fields of an entry as a letter has them, where they cannot be copied from the stream."""
    others = [pair for pair in entry.fields.items() if pair[0] != BODY_FIELD]
    received: list[tuple[str | bytes, str | bytes]] = [(_RECEIVED + name, value) for name, value in others]
    if len(others) > MOST_FIELDS:
        packed = [[part.decode("latin-1") for part in pair] for pair in others]
        received = [(_PACKED, json.dumps(packed))]
    if entry.body is not None:
        received.append((BODY_FIELD, entry.body))
    return received


def read_letter(letter_id: str, raw: Mapping[bytes, bytes], body_bytes: int | None = None) -> DeadLetter:
    """Read a letter.

    Args:
        letter_id: its id.
        raw: its fields, with or without its message.
        body_bytes: size of the message, where ``raw`` is without it.
    """
    body = raw.get(BODY_FIELD)
    size = body_bytes if body is None else len(body)
    channel = _text(raw, b"channel")
    return DeadLetter(
        id=letter_id,
        channel=channel,
        entry_id=_text(raw, b"entry_id"),
        message_id=_text(raw, b"message_id") or None,
        reason=_text(raw, b"reason"),
        errors=_errors(raw),
        attempts=read_attempts(raw.get(b"attempts", b"")),
        deliveries=_number(raw, b"deliveries"),
        consumer=_text(raw, b"consumer"),
        failed_at=_failed_at(raw, letter_id),
        redrives=_number(raw, _RECEIVED + REDRIVES_FIELD),
        redrivable=size is not None and _PACKED not in raw and _is_ours(channel),
        body_bytes=size,
        body=body,
        fields=_received(raw),
        raw=raw,
    )


def read_attempts(found: bytes) -> tuple[Attempt, ...]:
    """Attempts as they are kept: a JSON list; what cannot be read is left out."""
    try:
        rows = orjson.loads(found or b"null")
    except orjson.JSONDecodeError:
        return ()
    attempts = [one for one in rows if isinstance(one, dict)] if isinstance(rows, list) else []
    return tuple(
        Attempt(*(str(attempt.get(name, "")) for name in ("at", "consumer", "error"))) for attempt in attempts
    )


def _is_ours(channel: str) -> bool:
    return any(channel == one.name for one in QueueChannels.all())


def _text(raw: Mapping[bytes, bytes], name: bytes) -> str:
    return raw.get(name, b"").decode(errors="replace")


def _number(raw: Mapping[bytes, bytes], name: bytes) -> int:
    digits = raw.get(name, b"")
    return int(digits) if digits.isdigit() and len(digits) <= len("1000000000000000000") else 0


def _errors(raw: Mapping[bytes, bytes]) -> tuple[str, ...]:
    errors = _json(raw, b"errors")
    if isinstance(errors, list) and all(isinstance(error, str) for error in errors):
        return tuple(errors)
    words = _text(raw, b"errors")
    return (words,) if words else ()


def _json(raw: Mapping[bytes, bytes], name: bytes) -> Any:
    try:
        return orjson.loads(raw.get(name, b"null"))
    except orjson.JSONDecodeError:
        return None


def _failed_at(raw: Mapping[bytes, bytes], letter_id: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_text(raw, b"failed_at"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromtimestamp(int(letter_id.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _received(raw: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    fields = {
        name.removeprefix(_RECEIVED): value
        for name, value in raw.items()
        if name not in _OWN_FIELDS or name.startswith(_RECEIVED)
    }
    if raw.get(_PACKED):
        fields |= _unpacked(raw)
    return fields


def _unpacked(raw: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    try:
        packed = json.loads(raw[_PACKED].decode("latin-1"))
        fields = {name.encode("latin-1"): value.encode("latin-1") for name, value in packed}
        fields.pop(BODY_FIELD, None)
        return fields
    except (TypeError, ValueError):
        return {_PACKED: raw[_PACKED]}
