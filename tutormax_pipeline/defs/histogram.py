"""Small histograms as one picture inside markdown: where a person would rather look than read.

An SVG in a data address, a few kilobytes, because every materialization keeps its own.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

_LARGEST = float(2**20)
_PANEL_WIDTH, _PANEL_HEIGHT, _BAR_AREA_HEIGHT, _MARGIN = 300, 170, 100, 16


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many have a figure within each of several ranges.

    Attributes:
        title: what is counted.
        labels: the lower end of each range.
        counts: how many are in it; as many as there are labels.
    """

    title: str
    labels: Sequence[str]
    counts: Sequence[int]


def by_steps(title: str, figures: Iterable[float], *, low: float, high: float, step: float) -> Histogram:
    """Ranges of equal width from ``low`` to ``high``; what is outside counts for the nearest."""
    bars = round((high - low) / step)
    counts = _count(figures, lambda figure: min(max(int((figure - low) / step), 0), bars - 1))
    return Histogram(
        title, [f"{low + bar * step:g}" for bar in range(bars)], [counts[n] for n in range(bars)]
    )


def by_doubling(title: str, figures: Iterable[float]) -> Histogram:
    """Ranges 0, 1, 2 to 3, 4 to 7 and so on, as far as there are figures; none are below 0.

    The last range takes all that is larger: a figure may be absurd, and the picture must not be.
    """
    counts = _count(figures, lambda figure: int(min(figure, _LARGEST)).bit_length())
    bars = max(counts, default=-1) + 1
    labels = ["0", *(f"{1 << bar}" for bar in range(bars - 1))][:bars]
    return Histogram(title, labels, [counts[n] for n in range(bars)])


def as_markdown(histograms: Sequence[Histogram]) -> str:
    """The histograms side by side, as a markdown image; without those that have nothing to show."""
    shown = [one for one in histograms if any(one.counts)]
    if not shown:
        return "Nothing to show yet."
    width = _PANEL_WIDTH * len(shown)
    panels = "".join(_panel(one, _PANEL_WIDTH * place) for place, one in enumerate(shown))
    # White behind it: the UI may be dark, and a picture cannot know.
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_PANEL_HEIGHT}" '
        'font-family="sans-serif" font-size="10" fill="#333" text-anchor="middle">'
        f'<rect width="100%" height="100%" fill="#fff"/>{panels}</svg>'
    )
    titles = "; ".join(one.title for one in shown)
    return f"![{titles}](data:image/svg+xml;base64,{b64encode(svg.encode()).decode()})"


def _count(figures: Iterable[float], bar_of: Callable[[float], int]) -> Counter[int]:
    return Counter(map(bar_of, figures))


def _panel(one: Histogram, left: int) -> str:
    bars, most = len(one.counts), max(one.counts)
    pitch = (_PANEL_WIDTH - 2 * _MARGIN) / bars
    floor = _PANEL_HEIGHT - 2 * _MARGIN
    path, words = [], []
    every = -(-bars // 9)
    for bar, (label, count) in enumerate(zip(one.labels, one.counts, strict=True)):
        x, height = _MARGIN + bar * pitch, _BAR_AREA_HEIGHT * count / most
        if count:
            path.append(f"M{x:.1f} {floor}v-{max(height, 1):.1f}h{pitch * 0.85:.1f}V{floor}z")
        if count == most:
            words.append(f'<text x="{x + pitch * 0.42:.1f}" y="{floor - height - 4:.1f}">{count:,}</text>')
        if bar % every == 0:
            words.append(f'<text x="{x + pitch * 0.42:.1f}" y="{floor + 13}">{escape(label)}</text>')
    return (
        f'<g transform="translate({left})"><text x="{_PANEL_WIDTH / 2:g}" y="14" font-size="12">'
        f'{escape(one.title)}</text><path fill="#4f43dd" d="{"".join(path)}"/>{"".join(words)}</g>'
    )
