"""A measured figure, its target, and how figures are shown to people and to programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result.

    Attributes:
        name: what was measured.
        value: the figure.
        unit: its unit; empty for a ratio or a number.
        least: target: it must not be below this; None where there is no such bound.
        most: target: it must not be above this; None where there is no such bound.
        rounds: the values of which ``value`` is the median; empty where there was one.
    """

    name: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None
    rounds: tuple[float, ...] = ()

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (
            self.most is None or self.value <= self.most
        )

    @property
    def target(self) -> str:
        """The target in words; empty where there is none."""
        if self.least is not None and self.most is not None:
            alone = self.least == self.most
            return _number(self.least) if alone else f"{_number(self.least)} to {_number(self.most)}"
        if self.least is not None:
            return f"at least {_number(self.least)}"
        return "" if self.most is None else f"at most {_number(self.most)}"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "target": self.target,
            "met": self.met,
            "rounds": list(self.rounds),
        }


def table_of(figures: Iterable[Figure], title: str) -> Table:
    """A table for people, one line a figure."""
    table = Table(title=title, title_justify="left", title_style="")
    for heading in ("", "measured", "target", "", "each round"):
        table.add_column(heading, justify="right" if heading == "measured" else "left", no_wrap=True)
    verdicts = {True: "[green]met", False: "[red]missed", None: ""}
    for one in figures:
        rounds = " ".join(_number(value) for value in one.rounds)
        measured = f"{_number(one.value)} {one.unit}".strip()
        table.add_row(one.name, measured, one.target, verdicts[one.met], rounds)
    return table


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
