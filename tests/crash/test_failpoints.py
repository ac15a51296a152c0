"""Ended before or after each side effect, and begun again: every guarantee holds.

The table below is the list of the product's side effects. A new one that is not here, or has no failpoint,
fails a test.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import func, select

from queue_core import MessageConsumer, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.embedded import EmbeddedServer
from queue_core.failpoints import EXIT_CODE
from queue_core.letter_counts import letter_counts
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.crash.day import JUNK, MESSAGES, TUTORS
from tests.pipeline.conftest import rows
from tutormax_pipeline import books
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import letter_archive, message_ledger, tutor_performance

ROOT = Path(__file__).parents[2]

#: Side effects by what they belong to; each has a place before it and one after it.
SIDE_EFFECTS = {
    "publish": ["publish"],
    "read": ["create_consumer_group", "read"],
    "write": ["commit"],
    "ack": ["acknowledge"],
    "retry": ["retry", "claim", "begin"],
    "dead-letter": ["dead_letter", "discard", "archive", "withdraw", "set_letter_counts", "replace_stock"],
    "redrive": ["redrive"],
    "reclaim": ["reclaim", "release", "leave"],
    "trim": ["trim", "forget_settled", "remove_dead_consumers", "prune_ledger", "refresh_statistics"],
    "books": ["put_back", "remember_sighting", "adjust_books"],
    "downstream": ["refresh_performance"],
}
#: Scripts that change nothing.
ONLY_LOOK = {
    "snapshot",
    "books",
    "count_entries",
    "delivered_ids",
    "deleted_pending",
    "count_letters",
    "read_letters",
    "recent_letters",
    "entry_state",
    "find_message",
    "letter_traffic",
    "stale_pending",
}
EFFECTS = [effect for effects in SIDE_EFFECTS.values() for effect in effects]
#: Where the ledger is pruned: what was stored before is known by its number only.
PRUNING = ("prune_ledger", "refresh_statistics")
#: Of places that are passed again and again, later passes too.
PLACES = [
    *((f"{effect}:{when}", 1) for effect in EFFECTS for when in ("before", "after")),
    *(
        (f"{effect}:{when}", n)
        for effect in ("commit", "read")
        for when in ("before", "after")
        for n in (2, 3)
    ),
]


class Warm:
    """The process from which days are forked."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.warm"], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
        )

    def live(
        self,
        client: RedisClient,
        server: EmbeddedServer,
        store: Store,
        *,
        retention_days: int = 0,
        place: str | None = None,
        passes: int = 1,
    ) -> tuple[int, list[str]]:
        """A day; its exit code and, if it was not cut short, the places it passed."""
        job = [server.url, client.settings.key_prefix, store.address, retention_days, place, passes]
        print(orjson.dumps(job).decode(), file=self._process.stdin, flush=True)
        line, places = self._line(), []
        if not line.startswith("ended"):
            places, line = orjson.loads(line), self._line()
        return int(line.removeprefix("ended")), places

    def close(self) -> None:
        self._process.communicate(timeout=30)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[RedisClient]:
    settings = settings_for(
        valkey, retry_backoff_ms=1, max_retries=50, worker_max_processing_time_seconds=0.02
    )
    with RedisClient(settings) as client:
        stream = client.keys.stream(TUTORS)
        for junk in JUNK:
            client.redis.xadd(stream, {"message": junk})
        slip = serialize(stream, {"tutor_id": "mended", "name": "x", "rating": 55}, message_id="mended")
        client.redis.xadd(stream, {"message": slip})
        yield client


def assert_everything_holds(client: RedisClient, store: Store, *, pruned: bool) -> None:
    drain(MessageConsumer(client), store, TUTORS, run_id="last")
    stored = dict.fromkeys([*MESSAGES, "mended"], 1)
    if not pruned:
        assert times_stored(store) == stored
    assert [row["tutor_id"] for row in rows(store)] == sorted(stored)
    assert {row["rating"] for row in rows(store)} == {None, 5.0}
    with store.engine.connect() as connection:
        assert sorted(connection.scalars(select(tutor_performance.c.tutor_id))) == sorted(stored)
    letters = DeadLetters(client)
    assert sorted(letter.body for letter in letters.iterate()) == sorted(JUNK[:2])
    assert letters.count(LetterFilter(channel=TUTORS)) == 2
    counts = letter_counts(client)
    assert counts.letters == counts.counted
    assert archived(store) == [("discarded", JUNK[2]), ("edited", b"55")]
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending, seen.scheduled) == (0, 0, 0)
    assert client.redis.exists(client.keys.retry(TUTORS), client.keys.processing(TUTORS)) == 0
    found = books.look(client, store, TUTORS, datetime.now(UTC))
    assert found.balanced, found
    assert found.unrecorded == ()


def times_stored(store: Store) -> dict[str, int]:
    """How often each message is stored, by the ledger."""
    ledger = message_ledger.c
    query = (
        select(ledger.message_id, func.count())
        .where(ledger.outcome == Outcome.STORED)
        .group_by(ledger.message_id)
    )
    with store.engine.connect() as connection:
        return dict(map(tuple, connection.execute(query)))


def archived(store: Store) -> list[tuple[str, bytes]]:
    """What was done with the letters of the archive, and their bytes; of the edited one what was wrong."""
    query = select(letter_archive.c.action, letter_archive.c.body)
    with store.engine.connect() as connection:
        found = sorted((action, bytes(body)) for action, body in connection.execute(query))
    return [
        (action, b"55" if action == "edited" and b'"rating":55' in body else body) for action, body in found
    ]


@pytest.mark.parametrize(("place", "passes"), PLACES, ids=[f"{place}-{n}" for place, n in PLACES])
def test_ended_at_a_failpoint_and_begun_again(
    valkey: EmbeddedServer, warm: Warm, client: RedisClient, store: Store, place: str, passes: int
) -> None:
    pruned = place.startswith(PRUNING)
    cut_short = warm.live(client, valkey, store, place=place, passes=passes, retention_days=int(pruned))
    assert cut_short == (EXIT_CODE, [])
    exit_code, _ = warm.live(client, valkey, store)
    assert exit_code == 0
    assert_everything_holds(client, store, pruned=pruned)


def test_a_day_passes_every_side_effect_and_no_other(
    valkey: EmbeddedServer, warm: Warm, client: RedisClient, store: Store
) -> None:
    exit_code, places = warm.live(client, valkey, store, retention_days=1)
    assert exit_code == 0
    assert {place.partition(":")[0] for place in places} - ONLY_LOOK == set(EFFECTS)
    assert_everything_holds(client, store, pruned=True)
