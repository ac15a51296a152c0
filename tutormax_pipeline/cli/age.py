"""Ages, shown and given."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_GIVEN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")


def age(seconds: float | None) -> str:
    """An age in the unit that fits; ``-`` where there is none."""
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


class AgeType(click.ParamType[float]):
    """An age as an option: seconds, or ``15m``, ``2h``, ``7d``."""

    name = "age"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """To seconds."""
        found = _GIVEN.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no age; write seconds, or 15m, 2h, 7d", param, ctx)
        return float(found[1]) * _UNITS[found[2] or "s"]
