"""Mending the message of a dead letter: a JSON merge patch (RFC 7396) on its data, everything else kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from queue_core import strict_json
from queue_core.outcomes import Message, Rejection
from queue_core.serializer import ENVELOPE_FIELDS, checksum, deserialize

_OBJECTS_ONLY = "the message cannot be edited: its envelope is not a JSON object with an object 'data'"


def edited(
    body: bytes, patch: Mapping[str, object], *, channel: str, max_bytes: int
) -> tuple[bytes, Message] | str:
    """The envelope with its data patched, its checksum made anew and its channel set.

    Message id, timestamp and metadata stay. An empty patch accepts the data as it stands.

    Args:
        body: the envelope as received.
        patch: fields to set; None removes one, an object is merged into the object that is there.
        channel: key of the stream it goes to.
        max_bytes: most bytes it may have afterwards.

    Returns:
        The new envelope and the message it reads as; or, in words, why it cannot be made.
    """
    try:
        envelope = strict_json.loads(body, fields=ENVELOPE_FIELDS)
        strict_json.check(dict(patch), "patch")
    except strict_json.StrictJSONError as error:
        return f"the message cannot be edited: {error}"
    if not isinstance(envelope, dict) or not isinstance(envelope.get("data"), dict):
        return _OBJECTS_ONLY
    data = merge_patch(envelope["data"], patch)
    try:
        strict_json.check({**envelope, "data": data}, fields=ENVELOPE_FIELDS)
    except strict_json.StrictJSONError as error:
        return f"the message cannot be edited: {error}"
    new = strict_json.dumps({**envelope, "channel": channel, "data": data, "checksum": checksum(data)})
    message = deserialize(new, channel=channel, max_bytes=max_bytes)
    if isinstance(message, Rejection):
        return "edited so, the message would still fail: " + "; ".join(message.errors)
    return new, message


def merge_patch(target: object, patch: object) -> Any:
    """RFC 7396: what ``target`` becomes."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
