"""What the monitor shows, as one JSON object for programs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from queue_core.look import ChannelLook, Look
from queue_core.looks import Looks


def as_json(looks: Looks, *, now: datetime) -> str:
    """One line.

    ``redis.up`` tells whether Redis answered the last time. Where it did not, ``redis.error`` and
    ``redis.away_since`` say why and since when, and the figures are those of the last answer, of
    ``taken_at``; ``channels`` is empty where there never was one. Rates are messages a second, null where
    unknown.
    """
    last, away = looks.last, looks.away
    redis: dict[str, Any] = {
        "address": away.address if away else last.address if last else None,
        "up": away is None and last is not None,
        "away_since": looks.away_since,
        "error": away.error if away else None,
    }
    found = {
        "now": now,
        "taken_at": last.taken_at if last else None,
        "redis": redis | (asdict(last.health) if last else {}),
        "channels": {one.figures.channel: _channel(looks, one) for one in last.channels} if last else {},
        "dead_letters": _letters(last) if last else None,
    }
    return orjson.dumps(found).decode()


def _channel(looks: Looks, one: ChannelLook) -> dict[str, Any]:
    rates = looks.rates(one.figures.channel)
    return {
        **asdict(one.figures),
        "published_per_second": rates.published if looks.away is None else None,
        "processed_per_second": rates.processed if looks.away is None else None,
        "consumers": [asdict(consumer) for consumer in one.consumers],
    }


def _letters(last: Look) -> dict[str, Any]:
    return {
        "total": last.letters.total,
        "looked_at": last.letters.looked_at,
        "by_reason": [asdict(one) for one in last.letters.by_reason],
    }
