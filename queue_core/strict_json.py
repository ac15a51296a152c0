"""JSON that either reads back as the same value everywhere, or is refused.

Refused are NaN and infinities, duplicate keys, integers beyond 2^53 - 1 (RFC 7493: other languages
would read another number), lone surrogates, U+0000 (PostgreSQL cannot store it) and nesting past
``MAX_NESTING``. Canonical JSON is RFC 8785.
"""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import rfc8785

#: Deepest nesting of arrays and objects.
MAX_NESTING = 64

_MAX_INTEGER = 2**53 - 1


class StrictJSONError(ValueError):
    """Says what cannot be carried, and where; never quotes a value."""


def loads(text: bytes) -> Any:
    """Parse UTF-8 JSON.

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
    check(value)
    return value


def check(value: object, path: str = "$", depth: int = 0) -> None:
    """Refuse a Python value that JSON cannot carry without changing it.

    Raises:
        StrictJSONError: names the path of the value and what is wrong with it.
    """
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, (int, float)):
        _check_number(value, path)
    elif isinstance(value, (dict, list)) or type(value) is tuple:
        if depth >= MAX_NESTING:
            raise StrictJSONError(f"nested deeper than {MAX_NESTING}")
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict):
                if type(key) is not str:
                    raise StrictJSONError(f"{path}: a key is {type(key).__name__}, not plain text")
                _check_text(key, f"a key of {path}")
            check(item, f"{path}.{key}", depth + 1)
    else:
        raise StrictJSONError(f"{path}: {type(value).__name__} is not JSON; send text or a number")


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


def _check_number(number: float, path: str) -> None:
    if isinstance(number, int):
        if not -_MAX_INTEGER <= number <= _MAX_INTEGER:
            raise StrictJSONError(f"{path}: integer beyond 2^53 - 1; send it as a string")
    elif type(number) is not float:
        raise StrictJSONError(f"{path}: {type(number).__name__} is not a plain number; send float(...) of it")
    elif not math.isfinite(number):
        raise StrictJSONError(f"{path}: NaN or infinity is not JSON")


def _check_text(text: str, path: str) -> None:
    if "\x00" in text:
        raise StrictJSONError(f"{path}: contains U+0000")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise StrictJSONError(f"{path}: contains a lone surrogate") from None


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise StrictJSONError("an object has the same key twice")
    return result


def _refuse_constant(_: str) -> float:
    raise StrictJSONError("NaN or infinity is not JSON")
