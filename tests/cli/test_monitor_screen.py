"""The dashboard's lines, from looks that are made up: widths, heights, and what must not be cut off."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from queue_core.channels import RELEASED_CONSUMER
from queue_core.client import Health
from queue_core.group_health import GroupConsumer
from queue_core.look import Away, ChannelLook, Look
from queue_core.looks import Looks
from queue_core.outcomes import Reason
from queue_core.recent_letters import ReasonCount, RecentLetters
from tests.conftest import NOTHING
from tutormax_pipeline.cli.monitor.screen import screen
from tutormax_pipeline.cli.monitor.sparkline import sparkline
from tutormax_pipeline.cli.monitor.warnings import warnings

NOW = datetime(2026, 11, 7, 21, tzinfo=UTC)
HEALTH = Health(12.3, "valkey 9.1.2", 240 << 20, 256 << 20, "allkeys-lru", append_only=False, clients=12_345)
BUSY = replace(
    NOTHING,
    entries_added=1_000_000_000,
    waiting=1_234_567,
    waiting_is_exact=False,
    pending=9_999_999,
    scheduled=100_000,
    dead=8_765_432,
    oldest_unprocessed_age_seconds=3_599,
    claimable=True,
)
RUN = "run:3f1c5d2a-1111-2222-3333-444455556666"


def a_look(seconds: float = 0, *, consumers: int = 1, added: int = 0, health: Health = HEALTH) -> Look:
    holders = (
        *(GroupConsumer(f"{RUN}-{n}", 12_345, 3_599) for n in range(consumers)),
        GroupConsumer(RELEASED_CONSUMER, 7, 5),
    )
    return Look(
        taken_at=NOW + timedelta(seconds=seconds),
        clock_seconds=seconds,
        address="redis-with-a-long-name.internal.example.org:6379/0",
        health=health,
        channels=tuple(
            ChannelLook(replace(BUSY, channel=name, entries_added=BUSY.entries_added + added), holders)
            for name in ("tutors", "sessions", "feedback")
        ),
        letters=RecentLetters(
            8_765_432,
            200,
            "1762549200000-0",
            tuple(ReasonCount("sessions", reason, 25, "1762549200000-12", NOW) for reason in Reason),
        ),
    )


def watched(count: int = 40, **options: int) -> Looks:
    looks = Looks()
    for n in range(count):
        looks.take(a_look(n, added=n * n * 100, **options))
    return looks


def drawn(looks: Looks, width: int = 80, height: int | None = None, *, ascii_only: bool = False) -> list[str]:
    now = NOW + timedelta(seconds=60)
    return [one.plain for one in screen(looks, now=now, width=width, height=height, ascii_only=ascii_only)]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("is_away", [False, True])
def test_no_line_is_wider_than_the_terminal_though_every_figure_is_large(width: int, is_away: bool) -> None:
    looks = watched()
    if is_away:
        looks.take(Away(NOW, "redis:6379/0", "Redis at " + "x" * 100 + " is not available.", denied=False))
    lines = drawn(looks, width)
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if line.startswith("tutors")]
    assert row.split()[1:6] == ["1,234,567+", "9,999,999", "100,000", "8,765,432", "60.0"]
    assert any(RUN in line and line.rstrip().endswith("60.0 min") for line in lines)
    assert all(any(reason in line and "1762549200000-12" in line for line in lines) for reason in Reason)


def test_heading_and_figures_stand_below_each_other() -> None:
    lines = drawn(watched())
    (heading,) = [line for line in lines if line.startswith("channel")]
    (row,) = [line for line in lines if line.startswith("sessions")]
    ends = {word: heading.index(word) + len(word) for word in ("pending", "retry", "dead", "oldest", "out/s")}
    assert row[: ends["pending"]].endswith("9,999,999")
    assert row[: ends["retry"]].endswith("100,000")
    assert row[: ends["dead"]].endswith("8,765,432")
    assert len(row) == ends["out/s"]


@pytest.mark.parametrize("height", [22, 24, 30, 40])
def test_a_low_terminal_says_how_much_it_leaves_out(height: int) -> None:
    full, low = drawn(watched(consumers=30)), drawn(watched(consumers=30), height=height)
    assert len(low) < len(full)
    assert len(low) <= max(height, 24)
    assert any("more" in line for line in low)


def test_what_is_wrong_is_said_in_words() -> None:
    words = "\n".join(drawn(watched()))
    assert "! Redis may drop queues: maxmemory-policy is allkeys-lru, not noeviction" in words
    assert "! Redis keeps no append-only file" in words
    assert "! Redis has used 94% of its memory" in words
    assert "! tutors, sessions, feedback: no consumer group" in words
    assert "! tutors, sessions, feedback: something was left behind" in words
    healthy = replace(HEALTH, eviction_policy="noeviction", append_only=True, maxmemory_bytes=0)
    calm = replace(a_look(health=healthy), channels=(ChannelLook(NOTHING, ()),))
    assert warnings(calm) == []


def test_an_outage_says_since_when_and_keeps_the_last_figures() -> None:
    looks = watched()
    looks.take(Away(NOW + timedelta(seconds=48), "redis:6379/0", "It is not available.", denied=False))
    lines = drawn(looks)
    assert lines[:2] == ["! Redis is away since 21:00:48 UTC (12 s); trying again", "! It is not available."]
    assert any(line.startswith("tutors") and "1,234,567" in line for line in lines)
    looks.take(a_look(100))
    assert "away" not in "".join(drawn(looks))


def test_before_redis_was_ever_there_only_that_is_said() -> None:
    looks = Looks()
    looks.take(Away(NOW, "redis:6379/0", "It is not available.", denied=False))
    assert drawn(looks) == [
        "! Redis is away since 21:00:00 UTC (1.0 min); trying again",
        "! It is not available.",
    ]


def test_a_line_without_blocks_is_pure_ascii_and_a_name_cannot_command_the_terminal() -> None:
    looks = Looks()
    nasty = GroupConsumer("\x1b[2Jläufer\n" + "x" * 100, 1, 0)
    for n in range(3):
        seen = a_look(n, added=n)
        looks.take(replace(seen, channels=tuple(replace(one, consumers=(nasty,)) for one in seen.channels)))
    for ascii_only in (True, False):
        lines = drawn(looks, ascii_only=ascii_only)
        assert "\x1b" not in "".join(lines)
        assert not any("\n" in line for line in lines)
        assert max(map(len, lines)) <= 80
        assert all(line.isascii() for line in lines) is ascii_only


def test_a_sparkline_scales_to_its_peak_and_shows_gaps_and_what_is_next_to_nothing() -> None:
    figures = [0.0, 0.001, None, 5, 10]
    assert sparkline(figures, 10, 5, ascii_only=False) == "▁▂ ▅█"
    assert sparkline(figures, 10, 7, ascii_only=True) == "  _. =#"
    assert sparkline(figures, 10, 2, ascii_only=False) == "▅█"
    assert sparkline([0, 0], 0, 2, ascii_only=False) == "▁▁"
    assert sparkline(figures, 10, 0, ascii_only=False) == ""
