"""What the dead letter stream says of itself, for whoever watches it."""

from __future__ import annotations

from queue_core import RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.letter_counts import LetterTraffic, letter_traffic
from tests.queue.letters import bury


def test_letters_that_come_and_go_are_both_seen(client: RedisClient) -> None:
    assert letter_traffic(client) == LetterTraffic(letters=0, ever=0)
    bury(client, 3)
    assert letter_traffic(client) == LetterTraffic(letters=3, ever=3)
    letters = DeadLetters(client)
    letters.redrive([next(letters.iterate()).id], dry_run=False)
    assert letter_traffic(client) == LetterTraffic(letters=2, ever=3)
    letters.redrive(LetterFilter(), dry_run=False)
    assert letter_traffic(client) == LetterTraffic(letters=0, ever=3)
