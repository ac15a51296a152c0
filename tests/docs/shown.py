"""Whether a command showed what its guide shows: loosely, since numbers and ids differ each time."""

from __future__ import annotations

import re

#: What stands for any other of its kind. Order matters: an id is made of numbers.
_LOOSE = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "ID"),
    (re.compile(r"\b\d{13}-\d+\b"), "ID"),
    (re.compile(r"127\.0\.0\.1|localhost"), "HOST"),
    (re.compile(r"\d[\d.,:]*"), "0"),
    (re.compile(r"[━─═]+"), "-"),
    (re.compile(r"[ \t]+"), " "),
)


def shows(output: str, shown: str) -> bool:
    """Whether ``output`` has the lines of ``shown``; a line ``...`` stands for any lines."""
    pattern = r"\n(?:.*\n)*?".join(
        "\n".join(re.escape(line) for line in part) for part in _parts(_lines(shown))
    )
    return re.search(rf"^{pattern}$", "\n".join(_lines(output)), re.MULTILINE) is not None


def _lines(text: str) -> list[str]:
    for loose, instead in _LOOSE:
        text = loose.sub(instead, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parts(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for line in lines:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    return [part for part in parts if part]
