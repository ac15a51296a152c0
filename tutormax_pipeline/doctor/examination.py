"""Going through the topics, whatever of them is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from queue_core.channels import QueueChannels
from queue_core.client import Health, RedisClient
from queue_core.errors import QueueError
from queue_core.server_facts import server_facts
from tutormax_pipeline.books import Books, look
from tutormax_pipeline.doctor import dagster_home, disk, queue, server, tables
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store, StoreError


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        health: the server's own figures; None where it is away.
        books: the books of each channel; empty where Redis or the store is away.
        findings: everything that is wrong, topic by topic.
        away: what could not be looked at: ``redis``, ``store``, ``dagster``, ``disk``.
    """

    health: Health | None
    books: tuple[Books, ...]
    findings: tuple[Finding, ...]
    away: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 where nothing is wrong, 1 where something is, 2 where something could not be looked at."""
        if self.away:
            return 2
        return int(any(one.severity is not Severity.NOTE for one in self.findings))


class _Examination:
    """Findings so far, and what turned out to be away."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.away: list[str] = []

    def of(self, name: str, look_at: Callable[[], Iterable[Finding]]) -> None:
        """Look at a topic; an error is its finding."""
        try:
            self.findings += look_at()
        except StoreError as error:
            self.gone("store", "store_away", error)
        except (QueueError, OSError) as error:
            self.gone(name, f"{name}_away", error)

    def gone(self, name: str, check: str, error: Exception) -> None:
        if name in self.away:
            return
        self.away.append(name)
        summary, remedy = _parts(str(error))
        self.findings.append(Finding(check, Severity.ERROR, summary, remedy))


def _parts(words: str) -> tuple[str, str]:
    """What is wrong, and what to do: after the cause in brackets, as a sentence, or after a ``;``."""
    for end, kept in (("). ", ")."), (". ", "."), ("; ", ".")):
        summary, found, remedy = words.partition(end)
        if found:
            return summary + kept, remedy[0].upper() + remedy[1:]
    return words, "See its log, and try again."


def examine(
    client: RedisClient,
    store: Store | StoreError,
    settings: PipelineSettings,
    now: datetime,
    *,
    deep: bool = False,
) -> Diagnosis:
    """Look at everything.

    Args:
        client: the queue.
        store: the store; or why it could not be opened.
        settings: say where the folders are.
        now: the present, UTC.
        deep: also read the whole database for damage, which takes as long as reading it.
    """
    seen = _Examination()
    health: list[Health] = []
    books: list[Books] = []

    def of_server() -> Iterable[Finding]:
        return server.findings(server_facts(client), client.settings)

    def of_health() -> Iterable[Finding]:
        health.append(client.health_check())
        return ()

    def of_queue(tables_of: Store) -> Iterable[Finding]:
        books.extend(look(client, tables_of, channel, now) for channel in QueueChannels.all())
        return queue.findings(client, tables_of, books)

    seen.of("redis", of_server)
    if "redis" not in seen.away:
        # A server that cannot write refuses even PING: what was found until then says why.
        seen.of("redis", of_health)
    if isinstance(store, Store):
        opened = store
        if "redis" not in seen.away:
            seen.of("redis", lambda: of_queue(opened))
        seen.of("store", lambda: tables.findings(opened, deep=deep))
    else:
        seen.gone("store", "store_away", store)
    seen.of("dagster", lambda: dagster_home.findings(settings, now))
    seen.of("disk", lambda: disk.findings(settings))
    complete = tuple(books) if len(books) == len(QueueChannels.all()) else ()
    return Diagnosis(health[0] if health else None, complete, tuple(seen.findings), tuple(seen.away))
