"""docs/api.md, made from the docstrings of ``queue_core``: ``make api``.

One section a module: what its head says, then each public class and function that it defines, with its
signature and what its docstring says. A module that is not there is left out.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from queue_core.config import EnvironmentSettings

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
#: In the order in which somebody needs them.
MODULES = (
    "channels", "config", "client", "publisher", "consumer", "worker", "outcomes", "serializer",
    "dead_letter", "letter", "letter_filter", "letter_groups", "letter_edit", "monitor", "memory",
    "maintenance", "embedded", "testing", "errors",
)  # fmt: skip
_HEAD = """\
# The queue's API

Everything public of `queue_core`, from its docstrings: `make api` writes this page, and a test compares it.
What most programs need can be imported from `queue_core` itself: {names}.
"""
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):$")
_ITEM = re.compile(r"^(?P<name>[*\w.]+)(?: \(.+?\))?: (?P<text>.*)$")


class _Bare:
    """An annotation that is shown as it was written."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def page() -> str:
    """The whole page."""
    package = importlib.import_module("queue_core")
    parts = [_HEAD.format(names=", ".join(f"`{name}`" for name in package.__all__))]
    for name in MODULES:
        if importlib.util.find_spec(f"queue_core.{name}"):
            parts += _module(importlib.import_module(f"queue_core.{name}"))
    return "\n".join(parts)


def _module(module: ModuleType) -> Iterator[str]:
    yield f"## {module.__name__}\n\n{rendered(module.__doc__)}"
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(value):
            yield from _class(value)
        elif inspect.isfunction(value) or hasattr(value, "__wrapped__"):
            yield f"### {name}\n\n{_signature(name, value)}\n{rendered(value.__doc__)}"


def _class(one: type) -> Iterator[str]:
    doc = one.__dict__.get("__doc__")
    if issubclass(one, EnvironmentSettings):
        yield f"### {one.__name__}\n\n{rendered(doc)}{_settings(one)}"
    elif issubclass(one, enum.Enum):
        members = "".join(f"- `{member.name}`: `{member.value}`\n" for member in one)
        yield f"### {one.__name__}\n\n{rendered(doc)}\n{members}"
    elif issubclass(one, BaseException):
        yield f"### {one.__name__}\n\nA kind of `{one.__mro__[1].__name__}`. {rendered(doc)}"
    else:
        shown = _signature(one.__name__, one) if "__init__" in vars(one) else ""
        yield f"### {one.__name__}\n\n{shown}\n{rendered(doc)}".replace("\n\n\n", "\n\n")
    for name, value in vars(one).items():
        if name.startswith("_") or not getattr(value, "__doc__", None):
            continue
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(plain, property):
            kind = getattr(plain.fget, "__annotations__", {}).get("return", "")
            yield f"#### {one.__name__}.{name}\n\nProperty, `{kind}`. {rendered(plain.__doc__)}"
        elif inspect.isfunction(plain):
            bound = _signature(name, getattr(one, name))
            yield f"#### {one.__name__}.{name}\n\n{bound}\n{rendered(plain.__doc__)}"


def _settings(one: type[EnvironmentSettings]) -> str:
    lines = ["| field | default | meaning |", "|---|---|---|"]
    for name, field in one.model_fields.items():
        default = "" if field.is_required() or field.default is None else f"`{field.default}`"
        lines.append(f"| `{name}` | {default} | {field.description or ''} |")
    return "\n" + "\n".join(lines) + "\n" if len(lines) > 2 else ""


def _signature(name: str, value: Any) -> str:
    given = inspect.signature(value)
    parameters = [
        one.replace(
            annotation=_bare(one.annotation),
            default=one.empty if one.default is one.empty else _Bare(_default(one.default)),
        )
        for one in given.parameters.values()
        if one.name != "self"
    ]
    returned = "" if inspect.isclass(value) else f" -> {_bare(given.return_annotation)!r}"
    shown = f"{name}{inspect.Signature(parameters)}{returned}"
    if len(shown) > 100:
        inner = ",\n".join(f"    {one}" for one in _with_star(parameters))
        shown = f"{name}(\n{inner},\n){returned}"
    return f"```text\n{shown}\n```\n"


def _with_star(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            yield "*"
        starred |= one.kind in {one.KEYWORD_ONLY, one.VAR_POSITIONAL}
        yield str(one)


def _bare(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation


def _default(value: Any) -> str:
    # What has an address in its representation differs from run to run.
    shown = repr(value)
    return (
        getattr(value, "__name__", "...") if " at 0x" in shown or dataclasses.is_dataclass(value) else shown
    )


def rendered(doc: str | None) -> str:
    """A docstring as Markdown: its sections as lists, its markup as Markdown's."""
    lines: list[str] = []
    in_section = False
    for line in inspect.cleandoc(doc or "").splitlines():
        section = _SECTION.match(line)
        item = _ITEM.match(line.strip()) if in_section and re.match(r" {4}\S", line) else None
        if section:
            in_section = True
            lines += [f"**{section[1]}**", ""]
        elif item:
            lines.append(f"- `{item['name']}`: {item['text']}")
        elif in_section and line.strip():
            lines.append(f"  {line.strip()}" if line.startswith("     ") else f"- {line.strip()}")
        else:
            in_section &= not line or line.startswith(" ")
            lines.append(line)
    text = re.sub(r":\w+:`~?\.?([^`]+)`", r"`\1`", "\n".join(lines))
    return re.sub(r"``([^`]+)``", r"`\1`", text).replace("::\n", ":\n").rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
