"""The figures as metric families: names, help texts and labels. Pure.

Labels are channels, reasons and final states, and so bounded in number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from queue_core import QueueChannels
from queue_core.look import ChannelLook, Look
from queue_core.monitor import ChannelSnapshot
from queue_core.outcomes import Outcome, Reason
from queue_core.rates import processed_ever
from queue_core.recent_letters import OTHER

_CHANNELS = [channel.name for channel in QueueChannels.all()]

#: One gauge for each figure of a channel's snapshot: name, help text, how it is read.
_OF_SNAPSHOT = (
    ("waiting_messages", "Messages that no consumer has had yet.", lambda one: one.waiting),
    (
        "pending_messages",
        "Messages delivered and not acknowledged, retries included.",
        lambda one: one.pending,
    ),
    ("retry_messages", "Messages that wait for their retry.", lambda one: one.scheduled),
    ("dead_letters", "Dead letters that are there.", lambda one: one.dead),
    ("stream_entries", "Entries in the stream, processed ones included.", lambda one: one.length),
    (
        "oldest_message_age_seconds",
        "Age of the oldest message waiting or pending; 0 where there is none.",
        lambda one: one.oldest_unprocessed_age_seconds or 0.0,
    ),
    (
        "left_behind",
        "1 where a message is pending for longer than a consumer may take.",
        lambda one: int(one.claimable),
    ),
    ("group_exists", "1 where the consumer group is there.", lambda one: int(one.group_exists)),
)


def up(name: str, help_text: str, *, is_up: bool) -> Metric:
    """Whether something could be asked, as ``tutormax_<name>_up``."""
    return GaugeMetricFamily(f"tutormax_{name}_up", help_text, value=int(is_up))


def server_families(seen: Look) -> Iterator[Metric]:
    """What the server says of itself."""
    health = seen.health
    for name, help_text, value in (
        ("ping_seconds", "One PING, there and back.", health.latency_ms / 1000),
        ("memory_used_bytes", "Memory in use.", health.used_memory_bytes),
        ("memory_max_bytes", "Limit of the memory; 0 is none.", health.maxmemory_bytes),
        ("clients", "Connected clients.", health.clients),
        ("append_only", "1 where writes are kept in an append-only file.", int(health.append_only)),
        (
            "noeviction",
            "1 where the server refuses writes, and drops nothing, when its memory is full.",
            int(health.eviction_policy == "noeviction"),
        ),
    ):
        yield GaugeMetricFamily(f"tutormax_redis_{name}", help_text, value=value)


def channel_families(channels: Iterable[ChannelLook]) -> Iterator[Metric]:
    """What is seen of each channel."""
    looks = list(channels)
    figures = [one.figures for one in looks]
    for name, help_text, read in _OF_SNAPSHOT:
        values = {(one.channel,): read(one) for one in figures}
        yield _gauge(f"tutormax_{name}", help_text, ["channel"], values)
    yield _gauge(
        "tutormax_consumers",
        "Consumers of the group.",
        ["channel"],
        {(one.figures.channel,): len(one.consumers) for one in looks},
    )
    yield _gauge(
        "tutormax_consumer_idle_seconds",
        "Since the consumer that holds messages and is silent for longest was heard of; 0 where none does.",
        ["channel"],
        {(one.figures.channel,): _longest_idle(one) for one in looks},
    )
    yield _counter(
        "tutormax_published_messages",
        "Messages ever added to the stream, redriven ones included.",
        ["channel"],
        {(one.channel,): one.entries_added for one in figures},
    )
    yield _counter(
        "tutormax_processed_messages",
        "Messages ever gone from the queue, whatever became of them; absent where the server lost count.",
        ["channel"],
        _processed(figures),
    )


def letter_families(seen: Look, counted: Mapping[tuple[str, str], int]) -> Iterator[Metric]:
    """The dead letters by reason: the newest that are there, and those counted since the exporter started."""
    labels = ["channel", "reason"]
    # All of them from the start, so that the first letter of a reason is a rise and not a new series.
    none = dict.fromkeys(product([*_CHANNELS, OTHER], [*(one.value for one in Reason), OTHER]), 0)
    recent = {(one.channel, one.reason): one.count for one in seen.letters.by_reason}
    yield _gauge("tutormax_recent_dead_letters", "Of the newest 200 dead letters.", labels, none | recent)
    yield _counter(
        "tutormax_dead_lettered_messages",
        "Messages that became dead letters since the exporter started.",
        labels,
        none | dict(counted),
    )


def ledger_families(settled: Mapping[tuple[str, Outcome], int]) -> Iterator[Metric]:
    """What the ledger settled."""
    none = {(channel, outcome.value): 0 for channel, outcome in product(_CHANNELS, Outcome)}
    found = {(channel, outcome.value): count for (channel, outcome), count in settled.items()}
    yield _counter(
        "tutormax_settled_messages",
        "Messages that the ledger settled, by final state, those pruned from it included.",
        ["channel", "outcome"],
        none | found,
    )


def _processed(figures: Iterable[ChannelSnapshot]) -> dict[tuple[str], int]:
    counts = {(one.channel,): processed_ever(one) for one in figures}
    return {labels: count for labels, count in counts.items() if count is not None}


def _longest_idle(channel: ChannelLook) -> float:
    return max((one.idle_seconds for one in channel.consumers if one.pending), default=0.0)


def _gauge(name: str, help_text: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _counter(name: str, help_text: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family
