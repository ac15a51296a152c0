"""The documents for producers in other languages, made from the code that reads their messages."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from queue_core import RedisClient, RedisSettings, strict_json
from queue_core.outcomes import Message
from queue_core.serializer import checksum, deserialize
from tests.vectors.cases import ACCEPTED, CANONICAL, REFUSED, STREAM, Case

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"

ABOUT = (
    "Test vectors of the envelope; docs/producing.md explains them. 'canonical': the data as JSON text, its "
    "RFC 8785 form, and the SHA-256 of that in UTF-8. 'accepted' and 'refused': whole envelopes, read from "
    "the stream 'stream' where 'max_bytes' are allowed; those that are not UTF-8 are in 'envelope_base64'. "
    "Made by 'make vectors'."
)


def documents() -> dict[str, str]:
    """Name of a file in ``docs/vectors`` -> what it must hold."""
    vectors = {
        "about": ABOUT,
        "stream": STREAM,
        "canonical": [_canonical(name, text) for name, text in CANONICAL.items()],
        "accepted": [_accepted(case) for case in ACCEPTED],
        "refused": [_envelope(case) | {"reason": case.reason} for case in REFUSED],
    }
    script = RedisClient(RedisSettings.load(host="unused")).script("publish").script
    return {
        "envelopes.json": json.dumps(vectors, indent=1) + "\n",
        "publish.lua": script if isinstance(script, str) else script.decode(),
    }


def _canonical(name: str, text: str) -> dict[str, str]:
    data = strict_json.loads(text.encode())
    return {
        "name": name,
        "data": text,
        "canonical": strict_json.canonical(data).decode(),
        "checksum": checksum(data),
    }


def _accepted(case: Case) -> dict[str, Any]:
    message = deserialize(case.body, channel=STREAM, max_bytes=case.max_bytes)
    if not isinstance(message, Message):
        raise TypeError(f"{case.name}: {message}")
    published_at = message.published_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _envelope(case) | {"id": message.id, "published_at": published_at}


def _envelope(case: Case) -> dict[str, Any]:
    try:
        body = {"envelope": case.body.decode()}
    except UnicodeDecodeError:
        body = {"envelope_base64": base64.b64encode(case.body).decode()}
    return {"name": case.name, **body, "max_bytes": case.max_bytes}
