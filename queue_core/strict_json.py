"""JSON that either reads back as the same value everywhere, or is refused.

Refused are NaN and infinities, duplicate keys, integers beyond 2^53 - 1 (RFC 7493: other languages
would read another number), lone surrogates, U+0000 (PostgreSQL cannot store it) and nesting past
``MAX_NESTING``. Canonical JSON is RFC 8785.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import rfc8785

#: Deepest nesting of arrays and objects.
MAX_NESTING = 64

#: Keys that an error may name: of an object these, and where True those of the object there, if they are
#: short and plain. Any other key is free-form, may be somebody's name, and is shown as ``*``. None stands
#: for an object whose own keys may be named, if they are short and plain.
Fields = Mapping[str, bool]

_MAX_INTEGER = 2**53 - 1
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class StrictJSONError(ValueError):
    """Says what cannot be carried, and where; quotes neither a value nor a free-form key."""


def is_plain(key: object) -> bool:
    """Whether a key looks like the name of a field: short, of letters, digits, ``_``, ``.`` and ``-``."""
    return isinstance(key, str) and _PLAIN.fullmatch(key) is not None


def loads(text: bytes, *, fields: Fields | None = None) -> Any:
    """Parse UTF-8 JSON.

    Args:
        text: the JSON.
        fields: which of its keys an error may name.

    Raises:
        StrictJSONError: not JSON, or JSON that another reader would read differently.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise StrictJSONError(f"not JSON: {error.msg} at byte {error.pos}") from None
    if _is_evidently_clean(text, value):
        return value
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise StrictJSONError(f"nested deeper than {MAX_NESTING}") from None
    except StrictJSONError:
        raise
    except ValueError:
        raise StrictJSONError("not JSON: a number has too many digits") from None
    check(value, fields=fields)
    return value


def check(value: object, path: str = "$", *, fields: Fields | None = None) -> None:
    """Refuse a Python value that JSON cannot carry without changing it.

    Args:
        value: the value.
        path: what it is called.
        fields: which of its keys an error may name; see :data:`Fields`.

    Raises:
        StrictJSONError: says where the value is, and what is wrong with it.
    """
    try:
        _check(value, 0)
    except _FaultError as fault:
        keys = tuple(reversed(fault.keys))
        raise StrictJSONError(f"{fault.of}{_shown(path, keys, fields)}: {fault.words}") from None


def dumps(value: object) -> bytes:
    """Compact UTF-8 JSON of a value that :func:`check` accepts."""
    return orjson.dumps(value)


def canonical(value: object) -> bytes:
    """RFC 8785 form of a value that :func:`check` accepts: the same bytes in every language."""
    return rfc8785.dumps(value)  # type: ignore[arg-type]  # its type alias leaves out object


def sorted_form(value: object) -> bytes:
    """The canonical form of most values, four times faster: same but for some floats and rare keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _is_evidently_clean(text: bytes, value: object) -> bool:
    """Whether one cheap look proves what :func:`check` and a second parse would prove.

    Dumping drops duplicate keys and rewrites numbers that lost digits, so equal bytes rule both out.
    """
    if b"\\u0000" in text or text.count(b"{") + text.count(b"[") > MAX_NESTING:
        return False
    try:
        return orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) == text
    except orjson.JSONEncodeError:
        return False


class _FaultError(Exception):
    """What is wrong, and the keys and indices that lead there, the last one first."""

    def __init__(self, words: str, of: str = "") -> None:
        super().__init__(words)
        self.words, self.of = words, of
        self.keys: list[str | int] = []


def _check(value: object, depth: int) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, (int, float)):
        _check_number(value)
    elif isinstance(value, (dict, list)) or type(value) is tuple:
        if depth >= MAX_NESTING:
            raise StrictJSONError(f"nested deeper than {MAX_NESTING}")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict):
                if type(key) is not str:
                    raise _FaultError(f"a key is {type(key).__name__}, not plain text")
                _check_text(key, "a key of ")
            try:
                _check(item, depth + 1)
            except _FaultError as fault:
                fault.keys.append(key)
                raise
    else:
        raise _FaultError(f"{type(value).__name__} is not JSON; send text or a number")


def _check_number(number: float) -> None:
    if isinstance(number, int):
        if not -_MAX_INTEGER <= number <= _MAX_INTEGER:
            raise _FaultError("integer beyond 2^53 - 1; send it as a string")
    elif type(number) is not float:
        raise _FaultError(f"{type(number).__name__} is not a plain number; send float(...) of it")
    elif not math.isfinite(number):
        raise _FaultError("NaN or infinity is not JSON")


def _check_text(text: str, of: str = "") -> None:
    if "\x00" in text:
        raise _FaultError("contains U+0000", of)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _FaultError("contains a lone surrogate", of) from None


def _shown(path: str, keys: Sequence[str | int], fields: Fields | None) -> str:
    """The way to a value, without the keys that are free-form."""
    parts = (
        str(key) if isinstance(key, int) or _is_field(keys[: at + 1], fields) else "*"
        for at, key in enumerate(keys)
    )
    return ".".join([path, *parts])


def _is_field(keys: Sequence[str | int], fields: Fields | None) -> bool:
    *before, last = keys
    if fields is None:
        return not before and is_plain(last)
    if not before:
        return last in fields
    return len(before) == 1 and fields.get(str(before[0]), False) and is_plain(last)


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJSONError("an object has the same key twice")
    return result


def _refuse_constant(_: str) -> float:
    raise StrictJSONError("NaN or infinity is not JSON")
