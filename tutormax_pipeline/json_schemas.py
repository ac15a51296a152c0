"""The data contract for other languages: JSON Schema 2020-12 of records and envelopes.

What a schema allows the pipeline stores, but for what JSON Schema does not tell apart: here ``1.0`` is not
a whole number, and a checksum is compared, not only looked at.
"""

from __future__ import annotations

from typing import Any

from queue_core.channels import Channel, Keys
from queue_core.serializer import MAX_ID_LENGTH
from tutormax_pipeline.records import record_class

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def record_schema(channel: Channel) -> Schema:
    """The schema of a channel's ``data``; fields that it does not list are allowed, and kept.

    Raises:
        LookupError: the channel has no record class.
    """
    made = record_class(channel).model_json_schema()
    return {"$schema": DIALECT, "title": channel.record, "description": channel.purpose} | made


def envelope_schema(channel: Channel, keys: Keys) -> Schema:
    """The schema of a channel's whole message, its record included.

    Args:
        channel: the channel.
        keys: whose prefix the stream's key has.

    Raises:
        LookupError: the channel has no record class.
    """
    record = {name: value for name, value in record_schema(channel).items() if name != "$schema"}
    # References are from the root.
    shared = {"$defs": record.pop("$defs")} if "$defs" in record else {}
    return {
        "$schema": DIALECT,
        "title": f"{channel.record} message",
        "description": f"One entry's field 'message'. {channel.purpose}",
        "type": "object",
        "properties": {
            "id": {
                "description": "Identifies the message; kept when it is sent again.",
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_ID_LENGTH,
            },
            "timestamp": {
                "description": "When the record came to be; UTC where it names no offset.",
                "type": "string",
                "format": "date-time",
            },
            "channel": {"description": "Key of the stream.", "const": keys.stream(channel)},
            "data": record,
            "metadata": {
                "description": "What the producer says about it.",
                "type": "object",
                "properties": {
                    "ttl_seconds": {
                        "description": "Unread for longer than this, it expires; 0 is never.",
                        "type": "number",
                        "minimum": 0,
                    }
                },
                "additionalProperties": True,
            },
            "checksum": {
                "description": "SHA-256, in hex, of the RFC 8785 form of data.",
                "type": "string",
                "pattern": "^[0-9a-fA-F]{64}$",
            },
        },
        "required": ["id", "timestamp", "channel", "data", "checksum"],
        "additionalProperties": True,
        **shared,
    }
