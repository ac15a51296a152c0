"""The dashboard as lines of text, none wider than the terminal; pure.

Legible without colour: what is wrong is said in words, and begins with ``!``.
"""

from __future__ import annotations

from datetime import datetime
from textwrap import wrap

from rich.text import Text

from queue_core.channels import RELEASED_CONSUMER
from queue_core.client import Health
from queue_core.look import Away, ChannelLook, Look
from queue_core.looks import Looks
from tutormax_pipeline.cli.age import age
from tutormax_pipeline.cli.monitor.sparkline import sparkline
from tutormax_pipeline.cli.monitor.warnings import warnings
from tutormax_pipeline.cli.printable import one_line

#: Narrower than this, lines are wrapped by the terminal.
LEAST_WIDTH = 80

#: Rows of a list where nothing limits them, and the least of each that a low terminal has.
_MOST_ROWS, _LEAST_ROWS = 20, 2
#: Lines of both lists at their least: each a blank line, a heading, its rows, and how many more there are.
_LISTS_ROWS = 2 * (_LEAST_ROWS + 3)

#: Characters beside the two histories of a channel: ``  in  ... out ...``.
_BESIDE_HISTORY = 11


def screen(looks: Looks, *, now: datetime, width: int, height: int | None, ascii_only: bool) -> list[Text]:
    """The lines.

    Args:
        looks: what is known.
        now: the present, UTC.
        width: columns of the terminal; taken as 80 where there are fewer.
        height: lines of the terminal; None where they have no end.
        ascii_only: whether the encoding has ASCII only.
    """
    width = max(width, LEAST_WIDTH)
    lines: list[Text] = []
    if looks.away and looks.away_since:
        lines += _away(looks.away, looks.away_since, now, width)
    last = looks.last
    if last is None:
        return _encodable(lines, ascii_only=ascii_only)
    dim = "dim" if looks.away else ""
    lines += [
        Text(_ends(f"Queues on {last.address}", f"{last.taken_at:%Y-%m-%d %H:%M:%S} UTC", width), "bold"),
        Text(_health(last.health), dim),
        *_wrapped(warnings(last), width, "yellow"),
        Text(),
        Text(_row("channel", "waiting", "pending", "retry", "dead", "oldest", "in/s", "out/s"), "bold"),
    ]
    has_room = height is None or height >= len(lines) + 2 * len(last.channels) + _LISTS_ROWS
    for channel in last.channels:
        lines.append(_figures(looks, channel))
        if has_room:
            lines += _history(looks, channel, width, ascii_only=ascii_only)
    consumers, letters = _consumers(last, width), _letters(last, now, width)
    if height is None:
        rows = _MOST_ROWS
    else:
        # Each list has a blank line and a heading, and may have a line that says how many more there are.
        rows = max(_LEAST_ROWS, height - len(lines) - 6 - min(len(letters) - 1, _LEAST_ROWS))
    lines += [Text(), *_cut(consumers, rows)]
    if height is not None:
        rows = max(_LEAST_ROWS, height - len(lines) - 3)
    lines += [Text(), *_cut(letters, rows)]
    return _encodable(lines, ascii_only=ascii_only)


def _away(away: Away, since: datetime, now: datetime, width: int) -> list[Text]:
    seconds = (now - since).total_seconds()
    words = [f"Redis is away since {since:%H:%M:%S} UTC ({age(seconds)}); trying again", one_line(away.error)]
    return _wrapped(words, width, "bold red")


def _health(health: Health) -> str:
    used, most = (size / 1_048_576 for size in (health.used_memory_bytes, health.maxmemory_bytes))
    limit = f" of {most:,.1f}" if most else ""
    return (
        f"{health.server}  ping {health.latency_ms:.1f} ms  "
        f"memory {used:,.1f}{limit} MiB  {health.clients:,} clients"
    )


def _figures(looks: Looks, channel: ChannelLook) -> Text:
    figures, rates = channel.figures, looks.rates(channel.figures.channel)
    return Text(
        _row(
            figures.channel,
            _number(figures.waiting) + ("" if figures.waiting_is_exact else "+"),
            _number(figures.pending),
            _number(figures.scheduled),
            _number(figures.dead),
            age(figures.oldest_unprocessed_age_seconds),
            _rate(rates.published),
            _rate(rates.processed),
        ),
        "dim" if looks.away else "red" if figures.dead else "yellow" if figures.waiting else "",
    )


def _history(looks: Looks, channel: ChannelLook, width: int, *, ascii_only: bool) -> list[Text]:
    history = looks.history(channel.figures.channel)
    known = [one for each in history for one in (each.published, each.processed) if one is not None]
    if len(history) < 2 or not known:
        return []
    # In and out have one scale, so that one sees whether the queue grows.
    size = min((width - _BESIDE_HISTORY) // 2, len(history))
    into, out = (
        sparkline(one, max(known), size, ascii_only=ascii_only)
        for one in ([each.published for each in history], [each.processed for each in history])
    )
    return [Text(f"  in  {into} out {out}", "dim")]


def _consumers(last: Look, width: int) -> list[Text]:
    name_width = width - 30
    lines = [Text(f"{'consumer':<{name_width}} {'channel':<10} {'holds':>8} {'idle':>9}", "bold")]
    for channel in last.channels:
        for one in channel.consumers:
            given_back = one.name == RELEASED_CONSUMER
            if given_back and not one.pending:
                continue
            name = "(given back, to be taken up)" if given_back else _shortened(one.name, name_width)
            name = f"{name:<{name_width}} {channel.figures.channel:<10}"
            lines.append(Text(f"{name} {_number(one.pending):>8} {age(one.idle_seconds):>9}"))
    return lines if len(lines) > 1 else [Text("no consumers", "dim")]


def _letters(last: Look, now: datetime, width: int) -> list[Text]:
    found = last.letters
    if not found.looked_at:
        return [Text("no dead letters", "dim")]
    title = f"dead letters: {found.total:,}"
    if found.looked_at < found.total:
        title += f"; the newest {found.looked_at:,} by reason"
    lines = [Text(title, "bold")]
    for one in found.by_reason:
        ago = age(max(0.0, (now - one.newest_at).total_seconds()))
        row = f"  {one.reason:<18} {one.channel:<10} {one.count:>6,}  last {ago:>8} ago  {one.newest_id}"
        lines.append(Text(row[:width]))
    return lines


def _cut(lines: list[Text], rows: int) -> list[Text]:
    """A heading and at most so many rows."""
    if len(lines) - 1 <= rows:
        return lines
    return [*lines[: 1 + rows], Text(f"  and {len(lines) - 1 - rows:,} more", "dim")]


def _row(channel: str, *cells: str) -> str:
    widths = (10, 9, 7, 9, 9, 8, 8)
    sized = (f"{cell:>{size}}" for cell, size in zip(cells, widths, strict=True))
    return f"{channel:<10}" + " ".join(sized)


def _number(count: int) -> str:
    return f"{count:,}" if count < 10_000_000 else f"{count / 1_000_000:,.0f}M"


def _rate(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.1f}" if rate < 1_000 else f"{rate:,.0f}"


def _ends(left: str, right: str, width: int) -> str:
    return f"{_shortened(left, width - len(right) - 1):<{width - len(right)}}{right}"


def _shortened(text: str, width: int) -> str:
    text = one_line(text)
    half = (width - 2) // 2
    return text if len(text) <= width else f"{text[:half]}..{text[-half:]}"


def _wrapped(words: list[str], width: int, style: str) -> list[Text]:
    return [
        Text(line, style)
        for one in words
        for line in wrap(one, width, initial_indent="! ", subsequent_indent="  ", break_on_hyphens=False)
    ]


def _encodable(lines: list[Text], *, ascii_only: bool) -> list[Text]:
    if not ascii_only:
        return lines
    return [Text(line.plain.encode("ascii", "replace").decode(), line.style) for line in lines]
