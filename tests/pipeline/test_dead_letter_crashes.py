"""An operator's process that dies at any point: the same command, given again, finishes the work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.embedded import EmbeddedServer
from queue_core.failpoints import EXIT_CODE
from queue_core.monitor import snapshot
from tests.pipeline.conftest import Drain, rows
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import StoreArchive

TUTORS = QueueChannels.TUTORS

#: Does something in a process that ends at a place, when it comes there for the n-th time.
Dies = Callable[[str, str, int], None]
ALL = LetterFilter()
COUNT = 300  # more than one page

_OPERATOR = """
import sys
import orjson
from queue_core import RedisClient, RedisSettings
from queue_core.dead_letter import LetterFilter
from queue_core.failpoints import arm
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Store

url, prefix, address, action, place, passes = orjson.loads(sys.stdin.read())
settings = RedisSettings.load(url=url, key_prefix=prefix)
with RedisClient(settings) as client, Store.open(address) as store:
    letters = dead_letters(client, store)
    arm(place, passes)
    if action == "redrive":
        letters.redrive(LetterFilter(), dry_run=False)
    elif action == "discard":
        letters.discard(LetterFilter(), who="ann", why="w", dry_run=False)
    else:
        letters.edit(next(letters.iterate()).id, {"rating": 5}, who="ann", why="w")
"""


@pytest.fixture
def found(client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain) -> DeadLetters:
    publisher.publish_batch(TUTORS, ({"tutor_id": f"T{n}", "name": "x", "rating": 9} for n in range(COUNT)))
    drained()
    return dead_letters(client, store)


@pytest.fixture
def dies(valkey: EmbeddedServer, client: RedisClient, tmp_path: Path) -> Dies:
    def run(action: str, place: str, passes: int) -> None:
        job = [
            valkey.url,
            client.settings.key_prefix,
            f"sqlite:///{tmp_path}/store.db",
            action,
            place,
            passes,
        ]
        done = subprocess.run([sys.executable, "-c", _OPERATOR], input=orjson.dumps(job), check=False)
        assert done.returncode == EXIT_CODE

    return run


@pytest.mark.parametrize("place", ["redrive:before", "redrive:after"])
def test_a_redrive(client: RedisClient, drained: Drain, found: DeadLetters, dies: Dies, place: str) -> None:
    dies("redrive", place, 2)
    left = found.count()
    assert found.redrive(ALL, dry_run=False).redriven == left == (50 if place == "redrive:before" else 0)
    assert snapshot(client, TUTORS).waiting == COUNT
    # They are wrong as before: each comes back, once.
    drained()
    assert {letter.redrives for letter in found.iterate()} == {1}
    assert len({letter.message_id for letter in found.iterate()}) == found.count() == COUNT


@pytest.mark.parametrize("place", ["archive:before", "archive:after", "discard:before", "discard:after"])
def test_a_discard(client: RedisClient, store: Store, found: DeadLetters, dies: Dies, place: str) -> None:
    whole = {letter.id: letter.body for letter in found.iterate()}
    dies("discard", place, 2)
    found.discard(ALL, who="bob", why="w", dry_run=False)
    assert found.count() == snapshot(client, TUTORS).dead == 0
    assert {kept.letter_id: kept.body for kept in StoreArchive(store).letters(limit=1_000)} == whole


@pytest.mark.parametrize("place", ["archive:before", "archive:after", "redrive:before", "redrive:after"])
def test_an_edit(store: Store, drained: Drain, found: DeadLetters, dies: Dies, place: str) -> None:
    original = next(found.iterate())
    dies("edit", place, 1)
    if place != "redrive:after":
        found.edit(original.id, {"rating": 5}, who="ann", why="w")
    drained()
    assert [row["message_id"] for row in rows(store)] == [original.message_id]
    assert [kept.body for kept in StoreArchive(store).letters()] == [original.body]
    assert found.count() == COUNT - 1
