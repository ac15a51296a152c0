"""A row of figures as a line of blocks."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.:-=+*#"


def sparkline(figures: Sequence[float | None], peak: float, width: int, *, ascii_only: bool) -> str:
    """One character a figure, the newest at the right end; a space where there is none.

    Nothing is the lowest character, and anything above nothing is higher than that.

    Args:
        figures: oldest first; the last ``width`` are shown.
        peak: the figure that is a full block.
        width: characters of the line.
        ascii_only: whether the encoding has no blocks.
    """
    steps = _ASCII if ascii_only else _BLOCKS
    shown = figures[-width:] if width > 0 else []
    return "".join(" " if one is None else steps[_step(one, peak, len(steps))] for one in shown).rjust(width)


def _step(figure: float, peak: float, steps: int) -> int:
    if figure <= 0 or peak <= 0:
        return 0
    return max(1, min(steps - 1, round(figure / peak * (steps - 1))))
