"""The queue: whether the books balance, who reads beside us or has stopped, and how full it is."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence

from queue_core.client import RedisClient
from queue_core.group_health import holding_consumers, stray_groups
from queue_core.letter_counts import letter_counts
from queue_core.monitor import snapshot
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.books import Books
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.store import Store

#: Share of REDIS_QUEUE_MAXLEN from which a queue counts as nearly full.
_NEARLY_FULL = 0.8


def findings(client: RedisClient, store: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Everything that is wrong with the queue.

    Args:
        client: the queue.
        store: the ledger.
        all_books: the books of each channel.

    Raises:
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    for check in _CHECKS:
        yield from check(client, store, all_books)


def check_books(_: RedisClient, __: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Whether every entry is accounted for."""
    for books in all_books:
        yield from explain(books)


def check_stray_groups(client: RedisClient, _: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Whether others read the streams: what they have not processed is kept for them."""
    for books in all_books:
        for group in stray_groups(client, books.channel):
            waiting = "an unknown number" if group.waiting is None else f"{group.waiting:,}"
            stream = client.keys.stream(books.channel)
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


def check_consumers(client: RedisClient, _: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Whether consumers that seem dead hold entries."""
    for books in all_books:
        for consumer in holding_consumers(client, books.channel):
            yield Finding(
                check="dead_consumer",
                severity=Severity.WARNING,
                summary=f"Consumer {consumer.name!r} was last heard of {consumer.idle_seconds:,.0f} s ago, "
                f"and holds {consumer.pending:,} entries.",
                remedy=f"Drain {books.channel}: the drain takes them over. 'tutormax drain {books.channel}'.",
                channel=books.channel.name,
            )


def check_letter_counts(client: RedisClient, _: Store, __: Sequence[Books]) -> Iterator[Finding]:
    """Whether the dead letters are counted rightly."""
    found = letter_counts(client)
    if found.letters != found.counted:
        yield Finding(
            check="letter_counts",
            severity=Severity.WARNING,
            summary=f"There are {found.letters:,} dead letters, and {found.counted:,} are counted: somebody "
            "deleted some by hand.",
            remedy="Run 'tutormax doctor --repair': it counts them anew.",
        )


def check_groups(client: RedisClient, store: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Whether a consumer group that was there is gone."""
    for books in all_books:
        seen = snapshot(client, books.channel)
        if seen.group_exists or not seen.length:
            continue
        # Before the first drain there is none, and nothing is wrong.
        if any(store.outcome_counts(books.channel).values()):
            yield Finding(
                check="missing_group",
                severity=Severity.WARNING,
                summary="The consumer group is gone. The next drain makes it anew and reads the whole stream "
                f"again ({seen.length:,} entries); what is in the ledger is not stored twice.",
                remedy=f"Run 'tutormax drain {books.channel}', and find out what deleted it: XGROUP DESTROY, "
                "a failover, a restore.",
                channel=books.channel.name,
            )


def check_room(client: RedisClient, _: Store, all_books: Sequence[Books]) -> Iterator[Finding]:
    """Whether publishers will soon be refused."""
    most = client.settings.queue_maxlen
    for books in all_books:
        held = books.waiting + books.pending
        if held >= _NEARLY_FULL * most:
            yield Finding(
                check="queue_full",
                severity=Severity.WARNING,
                summary=f"{held:,} entries are unprocessed, of {most:,} at which publishing is refused.",
                remedy=f"Run 'tutormax drain {books.channel}', and find out why nothing drains it; or raise "
                "REDIS_QUEUE_MAXLEN where Redis has the memory.",
                channel=books.channel.name,
            )


#: Every check, in the order in which their findings are shown.
_CHECKS: tuple[Callable[[RedisClient, Store, Sequence[Books]], Iterable[Finding]], ...] = (
    check_books,
    check_groups,
    check_stray_groups,
    check_consumers,
    check_letter_counts,
    check_room,
)
