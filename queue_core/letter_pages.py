"""Reading the dead letter stream page by page, so that memory stays flat whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from queue_core.client import RedisClient
from queue_core.entry import fields_of
from queue_core.entry_id import EntryId
from queue_core.letter import DeadLetter, read_letter

#: Most letters of a page, and bytes of messages after which it ends.
PAGE_LETTERS = 250
PAGE_BYTES = 4_194_304


def pages(client: RedisClient, *, bodies: bool, most: int = PAGE_LETTERS) -> Iterator[list[DeadLetter]]:
    """The letters that are there now, oldest first.

    Args:
        client: the connection.
        bodies: whether their messages are wanted; they stay on the server otherwise.
        most: letters of a page.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    start, last = "-", ""
    while True:
        last, start, page = _read(client, start, last, most, bodies=bodies)
        if page:
            yield page
        if not start:
            return


def page_after(client: RedisClient, letter_id: str) -> list[DeadLetter]:
    """The next letters after one, oldest first, without their messages; empty where there are none.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    return _read(client, f"({letter_id}", "", PAGE_LETTERS, bodies=False)[2]


def pages_of(
    client: RedisClient, ids: Sequence[str], *, bodies: bool, most: int = PAGE_LETTERS
) -> Iterator[list[DeadLetter]]:
    """Those of the letters named that are there, oldest first; see :func:`pages`."""
    page: list[DeadLetter] = []
    size = 0
    for letter_id in sorted(set(ids), key=EntryId.parse):
        letters = _read(client, letter_id, letter_id, 1, bodies=bodies)[2]
        page.extend(letters)
        size += sum(letter.body_bytes or 0 for letter in letters)
        if len(page) >= most or size >= PAGE_BYTES:
            yield page
            page, size = [], 0
    if page:
        yield page


def _read(
    client: RedisClient, start: str, last: str, most: int, *, bodies: bool
) -> tuple[str, str, list[DeadLetter]]:
    with client.errors():
        end, go_on, found = client.run(
            "read_letters", [client.keys.dead_letter], [start, last, most, PAGE_BYTES, int(bodies)]
        )
    return end.decode(), go_on.decode(), [_letter(*row) for row in found]


def _letter(letter_id: bytes, size: int, parts: Sequence[Any]) -> DeadLetter:
    return read_letter(letter_id.decode(), fields_of(parts), None if size < 0 else size)
