"""A diagnosis of queue and store: a list of small checks, each giving what it found wrong.

    diagnosis = examine(client, store, datetime.now(UTC))

A new check is one function, and one line in ``CHECKS``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from queue_core.channels import QueueChannels
from queue_core.client import Health, RedisClient
from queue_core.group_health import holding_consumers, stray_groups
from queue_core.letter_counts import letter_counts
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.books import Books, look
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store import Store


@dataclass(frozen=True, slots=True)
class Examination:
    """What the checks look at.

    Attributes:
        client: the queue.
        health: what its server says of itself.
        books: the books of each channel.
    """

    client: RedisClient
    health: Health
    books: tuple[Books, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The books of each channel, and everything that is wrong."""

    health: Health
    books: tuple[Books, ...]
    findings: tuple[Finding, ...]


def examine(client: RedisClient, store: Store, now: datetime) -> Diagnosis:
    """Run every check.

    Raises:
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    books = tuple(look(client, store, channel, now) for channel in QueueChannels.all())
    seen = Examination(client, client.health_check(), books)
    findings = tuple(finding for check in CHECKS for finding in check(seen))
    return Diagnosis(seen.health, books, findings)


def check_books(seen: Examination) -> Iterator[Finding]:
    """Whether every entry is accounted for."""
    for books in seen.books:
        yield from explain(books)


def check_stray_groups(seen: Examination) -> Iterator[Finding]:
    """Whether others read the streams: what they have not processed is kept for them."""
    for books in seen.books:
        for group in stray_groups(seen.client, books.channel):
            waiting = "an unknown number" if group.waiting is None else f"{group.waiting:,}"
            stream = seen.client.keys.stream(books.channel)
            yield Finding(
                check="stray_group",
                severity=Severity.WARNING,
                summary=f"Consumer group {group.name!r} is not the pipeline's; {group.pending:,} entries are "
                f"pending in it and {waiting} wait. What it has not processed is never trimmed.",
                remedy=f"If nobody uses it: {_destroy(stream, group.name)}",
                channel=books.channel.name,
            )


def _destroy(stream: str, group: str) -> str:
    # Others chose the name: whoever copies this into a shell must run nothing else.
    option, word = "", group
    if not group.isprintable() or "\\" in group:
        escaped = (one if one.isprintable() else _escaped(one) for one in group.replace('"', '\\"'))
        option, word = " --quoted-input", f'"{"".join(escaped)}"'
    return f"redis-cli{option} XGROUP DESTROY {shlex.quote(stream)} {shlex.quote(word)}"


def _escaped(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def check_consumers(seen: Examination) -> Iterator[Finding]:
    """Whether consumers that seem dead hold entries."""
    for books in seen.books:
        for consumer in holding_consumers(seen.client, books.channel):
            yield Finding(
                check="dead_consumer",
                severity=Severity.WARNING,
                summary=f"Consumer {consumer.name!r} was last heard of {consumer.idle_seconds:,.0f} s ago, "
                f"and holds {consumer.pending:,} entries.",
                remedy=f"Drain {books.channel}: the drain takes them over. 'tutormax drain {books.channel}'.",
                channel=books.channel.name,
            )


def check_letter_counts(seen: Examination) -> Iterator[Finding]:
    """Whether the dead letters are counted rightly."""
    found = letter_counts(seen.client)
    if found.letters != found.counted:
        yield Finding(
            check="letter_counts",
            severity=Severity.WARNING,
            summary=f"There are {found.letters:,} dead letters, and {found.counted:,} are counted: somebody "
            "deleted some by hand.",
            remedy="Run 'tutormax doctor --repair': it counts them anew.",
        )


def check_eviction(seen: Examination) -> Iterator[Finding]:
    """Whether Redis would rather refuse than delete messages when its memory is full."""
    policy = seen.health.eviction_policy
    if policy != "noeviction":
        yield Finding(
            check="eviction",
            severity=Severity.ERROR,
            summary=f"Redis deletes keys when its memory is full (maxmemory-policy {policy}).",
            remedy="Set 'maxmemory-policy noeviction' in its configuration.",
        )


def check_append_only(seen: Examination) -> Iterator[Finding]:
    """Whether what was published survives a restart of Redis."""
    if not seen.health.append_only:
        yield Finding(
            check="append_only",
            severity=Severity.WARNING,
            summary="Redis keeps no append-only file: a restart loses what was published since its last "
            "snapshot.",
            remedy="Set 'appendonly yes' in its configuration.",
        )


#: Every check, in the order in which their findings are shown.
CHECKS: tuple[Callable[[Examination], Iterable[Finding]], ...] = (
    check_books,
    check_stray_groups,
    check_consumers,
    check_letter_counts,
    check_eviction,
    check_append_only,
)
