"""What the commands about dead letters work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from queue_core import RedisClient
from queue_core.dead_letter import DeadLetters
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.settings import PipelineSettings, redis_settings


@contextmanager
def opened_letters(*, archived: bool = False) -> Iterator[DeadLetters]:
    """The dead letters of the queues in force; with the store where something is to be archived."""
    settings = PipelineSettings.load()
    with ExitStack() as stack:
        client = stack.enter_context(RedisClient(redis_settings(settings)))
        store = None
        if archived:
            store = stack.enter_context(configured_store(settings))
        yield dead_letters(client, store)
