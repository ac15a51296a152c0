"""compose.yaml as Compose reads it: aliases and merges resolved, variables interpolated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
_VARIABLE = re.compile(r"\$(?:(\$)|\{([A-Z_]+)(?:(:-|:\?|:\+)([^}]*))?\})")


def interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    """The same tree with ``$$``, ``${NAME}``, ``${NAME:-default}``,
    ``${NAME:+instead}`` and ``${NAME:?words}`` replaced.

    Raises:
        KeyError: a variable that has to be given is not, or is empty.
    """
    if isinstance(value, dict):
        return {name: interpolated(one, variables) for name, one in value.items()}
    if isinstance(value, list):
        return [interpolated(one, variables) for one in value]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        escaped, name, how, words = found.groups()
        if escaped:
            return "$"
        given = variables.get(name, "")
        if how == ":?" and not given:
            raise KeyError(f"{name}: {words}")
        if how == ":+":
            return words if given else ""
        return given or (words if how == ":-" else "")

    return _VARIABLE.sub(replace, value)


def read(variables: Mapping[str, str], file: Path = COMPOSE) -> dict[str, Any]:
    """The file with these variables."""
    return interpolated(raw(file), variables)


@cache
def raw(file: Path = COMPOSE) -> dict[str, Any]:
    """The file without any."""
    return yaml.load(file.read_text(), yaml.CSafeLoader)
