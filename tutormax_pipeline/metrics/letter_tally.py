"""Dead letters by reason, counted as they come."""

from __future__ import annotations

from collections import Counter

from queue_core import RedisClient
from queue_core.letter_pages import page_after
from queue_core.recent_letters import known_channel, known_reason

#: Pages read at one look; a burst of more letters is counted over several.
_MOST_PAGES = 20


class LetterTally:
    """Counts each new letter once, from the first look on.

    A letter that is gone before it was seen is not counted. Those that were there before the first look are
    not: a count that began with them would rise at each restart.
    """

    def __init__(self) -> None:
        self._seen: str | None = None
        self._counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, client: RedisClient, newest_id: str) -> Counter[tuple[str, str]]:
        """The counts by channel and reason, what is new included.

        Args:
            client: the connection.
            newest_id: the newest letter there is, at which the first look begins.

        Raises:
            QueueUnavailableError: Redis is away; what was counted until then stays.
        """
        if self._seen is None:
            self._seen = newest_id
        for _ in range(_MOST_PAGES):
            page = page_after(client, self._seen)
            if not page:
                break
            self._counts.update((known_channel(one.channel), known_reason(one.reason)) for one in page)
            self._seen = page[-1].id
        return self._counts
