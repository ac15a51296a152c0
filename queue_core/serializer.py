"""The envelope: what a message looks like on the wire, and how it is checked.

    {"id": "<uuid4>", "timestamp": "2026-11-07T21:00:00Z", "channel": "tutormax:tutors",
     "data": {...}, "metadata": {...}, "checksum": "<sha256 hex of the canonical JSON of data>"}

Reading never raises: every byte string is either a ``Message`` or a ``Rejection``.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from queue_core import strict_json
from queue_core.errors import InvalidMessageError
from queue_core.outcomes import Message, Reason, Rejection

#: What errors may name of an envelope: its own fields, and those of its data and metadata.
ENVELOPE_FIELDS: strict_json.Fields = {
    "id": False,
    "timestamp": False,
    "channel": False,
    "data": True,
    "metadata": True,
    "checksum": False,
}

#: Longest message id that is accepted, in characters (a UUID has 36).
MAX_ID_LENGTH = 128

_CANONICAL_TIMESTAMP_LENGTH = len("2026-11-07T21:00:00")


def new_message_id() -> str:
    """A new UUID 4."""
    return str(uuid.uuid4())


def checksum(data: Mapping[str, object]) -> str:
    """SHA-256, in hex, of the RFC 8785 form of ``data``: what any producer would compute."""
    return hashlib.sha256(strict_json.canonical(dict(data))).hexdigest()


def serialize(
    channel: str,
    data: Mapping[str, object],
    *,
    metadata: Mapping[str, object] | None = None,
    message_id: str | None = None,
    published_at: datetime | None = None,
) -> bytes:
    """The envelope of ``data`` as JSON bytes.

    Args:
        channel: key of the stream it is for, ``tutormax:tutors``.
        data: the record; plain JSON values only.
        metadata: what the producer says about it.
        message_id: given again when the same message is published again; else a new UUID 4.
        published_at: a naive time is read as UTC; else now.

    Raises:
        InvalidMessageError: something in it would not read back as the same value.
    """
    if not isinstance(data, Mapping):
        raise InvalidMessageError(f"data is {type(data).__name__}; a record is an object of fields")
    identity = new_message_id() if message_id is None else message_id
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_LENGTH:
        raise InvalidMessageError(f"message id: must be text of 1 to {MAX_ID_LENGTH} characters")
    try:
        strict_json.check(identity, "message id")
        moment = _as_utc(published_at or datetime.now(UTC))
    except strict_json.StrictJSONError as error:
        raise InvalidMessageError(str(error)) from None
    except OverflowError:
        raise InvalidMessageError(f"Message {identity}: published_at is out of range in UTC") from None
    envelope = {
        "id": identity,
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "channel": channel,
        "data": dict(data),
        "metadata": dict(metadata or {}),
        "checksum": "",
    }
    try:
        strict_json.check(envelope, fields=ENVELOPE_FIELDS)
    except strict_json.StrictJSONError as error:
        raise InvalidMessageError(f"Message {identity} cannot be published: {error}.") from None
    envelope["checksum"] = checksum(data)
    return strict_json.dumps(envelope)


def deserialize(
    body: bytes | None, *, channel: str | None = None, max_bytes: int | None = None
) -> Message | Rejection:
    """Read and verify an envelope.

    Args:
        body: the bytes of the entry's field ``message``; None where it has no such field.
        channel: key of the stream it was read from; any, when not given.
        max_bytes: larger bodies are refused unread.
    """
    if body is None:
        return Rejection(Reason.MALFORMED, ("entry: has no field 'message'",))
    if max_bytes is not None and len(body) > max_bytes:
        return Rejection(Reason.TOO_LARGE, (f"envelope: {len(body)} bytes, allowed are {max_bytes}",))
    try:
        envelope = strict_json.loads(body, fields=ENVELOPE_FIELDS)
    except strict_json.StrictJSONError as error:
        return Rejection(Reason.MALFORMED, (f"envelope: {error}",))
    message = _read(envelope)
    if isinstance(message, Rejection):
        return message
    if not _verify(message.data, envelope["checksum"]):
        return _reject(message, Reason.CHECKSUM_MISMATCH, "checksum: is not that of the data")
    if channel is not None and message.channel != channel:
        return _reject(message, Reason.INVALID, f"channel: is not {channel}, from which it was read")
    return message


def extract_data(body: bytes) -> dict[str, object]:
    """The ``data`` of an envelope.

    Raises:
        InvalidMessageError: the envelope does not read or its checksum does not hold.
    """
    return _message_of(body).data


def extract_metadata(body: bytes) -> dict[str, object]:
    """The ``metadata`` of an envelope.

    Raises:
        InvalidMessageError: the envelope does not read or its checksum does not hold.
    """
    return _message_of(body).metadata


def _message_of(body: bytes) -> Message:
    result = deserialize(body)
    if isinstance(result, Rejection):
        raise InvalidMessageError(f"{result.reason}: {'; '.join(result.errors)}")
    return result


def _read(envelope: object) -> Message | Rejection:
    if not isinstance(envelope, dict):
        return Rejection(Reason.MALFORMED, ("envelope: is not an object",))
    identity, moment = envelope.get("id"), _parse_timestamp(envelope.get("timestamp"))
    channel, data = envelope.get("channel"), envelope.get("data")
    metadata = envelope.get("metadata", {})
    errors = []
    if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_LENGTH:
        errors.append(f"id: must be text of 1 to {MAX_ID_LENGTH} characters")
        identity = None
    if moment is None:
        errors.append("timestamp: must be an ISO 8601 date and time")
    if not isinstance(channel, str):
        errors.append("channel: must be text")
    if not isinstance(data, dict):
        errors.append("data: must be an object")
    if not isinstance(metadata, dict):
        errors.append("metadata: must be an object")
    if not isinstance(envelope.get("checksum"), str):
        errors.append("checksum: must be text")
    if errors:
        return Rejection(Reason.MALFORMED, tuple(errors), identity, moment)
    return Message(identity, moment, channel, data, metadata)  # type: ignore[arg-type]


def _reject(message: Message, reason: Reason, error: str) -> Rejection:
    return Rejection(reason, (error,), message.id, message.published_at)


def _verify(data: dict[str, object], expected: str) -> bool:
    if hashlib.sha256(strict_json.sorted_form(data)).hexdigest() == expected:
        return True
    return checksum(data) == expected.lower()


def _parse_timestamp(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) < _CANONICAL_TIMESTAMP_LENGTH:
        return None
    try:
        return _as_utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _as_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
