"""The shape of a message without what is in it, for everybody's eyes.

Nothing is shown unless it is known to say nothing of a person: the names of the envelope's fields and of
those that the channel's record lists. Every value, and every other name, is masked by its type.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import islice
from typing import Any

import orjson

from queue_core import strict_json
from queue_core.channels import QueueChannels
from queue_core.letter import DeadLetter
from tutormax_pipeline.records import record_class

MASK = "•••"
_ENVELOPE = frozenset(["id", "timestamp", "channel", "data", "metadata", "checksum"])
_METADATA = frozenset(["source", "priority", "ttl_seconds"])
#: Items of a list that are looked at, and bytes of a message above which its shape is not.
_ITEMS = 20
_LARGEST_BYTES = 65_536


def masked_message(letter: DeadLetter) -> str:
    """A letter's message as indented JSON with every value masked; in words where it is none."""
    body = letter.body
    if body is None:
        return "no message: the entry had no field 'message'"
    if len(body) > _LARGEST_BYTES:
        return f"{len(body):,} bytes"
    try:
        envelope = strict_json.loads(body)
    except strict_json.StrictJSONError:
        return f"{len(body):,} bytes that cannot be read as JSON"
    return orjson.dumps(_envelope(envelope, letter.channel), option=orjson.OPT_INDENT_2).decode()


def masked(value: object, known: Set[str] = frozenset()) -> Any:
    """A JSON value with everything in it masked.

    Args:
        value: as parsed.
        known: names that are shown where the value is an object.
    """
    if isinstance(value, dict):
        return _object(value, {name: masked(value[name]) for name in value if name in known})
    if isinstance(value, list):
        shapes: list[Any] = []
        for item in islice(value, _ITEMS):
            shape = masked(item)
            if shape not in shapes:
                shapes.append(shape)
        return shapes
    if isinstance(value, str):
        return MASK
    return None if value is None else type(value)()


def _envelope(envelope: object, channel: str) -> Any:
    if not isinstance(envelope, dict):
        return masked(envelope)
    listed = {"metadata": _METADATA, "data": _fields(channel)}
    shown = {
        name: masked(value, listed.get(name, frozenset()))
        for name, value in envelope.items()
        if name in _ENVELOPE
    }
    return _object(envelope, shown)


def _object(whole: dict[str, Any], shown: dict[str, Any]) -> dict[str, Any]:
    others = len(whole) - len(shown)
    return {**shown, f"{MASK} {others} other fields": MASK} if others else shown


def _fields(channel: str) -> Set[str]:
    for one in QueueChannels.all():
        if one.name == channel:
            return frozenset(record_class(one).model_fields)
    return frozenset()
