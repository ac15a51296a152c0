"""Reading files of records: JSON Lines or CSV, plain or gzipped, from a path or standard input."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple, get_args

import orjson

from queue_core import strict_json
from queue_core.errors import InvalidMessageError, QueueError
from tutormax_pipeline.records import Record

_GZIP_MAGIC = b"\x1f\x8b"


class Line(NamedTuple):
    """A line of a file: its number from 1, and the record on it or why there is none."""

    number: int
    record: dict[str, Any] | InvalidMessageError


@contextmanager
def opened(path: str) -> Iterator[io.BufferedReader]:
    """A file, or standard input for ``-``, as it is on disk.

    Raises:
        QueueError: it cannot be opened.
    """
    if path == "-":
        yield io.BufferedReader(sys.stdin.buffer)  # type: ignore[arg-type]  # a BufferedReader reads it too
        return
    try:
        file = open(path, "rb")  # noqa: PTH123, SIM115 - closed below
    except OSError as error:
        raise QueueError(f"{path} cannot be read ({error.strerror}).") from None
    with file:
        yield file


def read_lines(
    raw: io.BufferedReader,
    contract: type[Record],
    *,
    is_csv: bool,
    fields: strict_json.Fields | None = None,
) -> Iterator[Line]:
    """The records of a file, one a line; gzip is recognised by its first bytes.

    Args:
        raw: the file.
        contract: says which CSV columns are numbers, lists and so on.
        is_csv: a header and comma-separated values, instead of one JSON object a line.
        fields: which keys of a JSON object errors may name.

    Raises:
        QueueError: a gzip file that is damaged, or CSV that cannot be told apart into records.
    """
    stream: IO[bytes] = raw
    if raw.peek(2)[:2] == _GZIP_MAGIC:
        stream = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]  # is an IO[bytes]
    try:
        yield from _csv_lines(stream, contract) if is_csv else _json_lines(stream, fields)
    except (EOFError, OSError, zlib.error) as error:
        raise QueueError(f"The file ends or breaks in the middle ({error}).") from None


def _json_lines(stream: IO[bytes], fields: strict_json.Fields | None) -> Iterator[Line]:
    for number, text in enumerate(stream, start=1):
        stripped = text.strip()
        if not stripped:
            continue
        try:
            record = strict_json.loads(stripped, fields=fields)
        except strict_json.StrictJSONError as error:
            yield Line(number, InvalidMessageError(str(error)))
            continue
        yield Line(number, record if isinstance(record, dict) else InvalidMessageError("not a JSON object"))


def _csv_lines(stream: IO[bytes], contract: type[Record]) -> Iterator[Line]:
    reader = csv.DictReader(
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    )
    try:
        _check_header(reader.fieldnames or ())
        for row in reader:
            if None in row or None in row.values():
                error = InvalidMessageError("has not as many values as the header has names")
                yield Line(reader.line_num, error)
            else:
                record = {name: _cell(contract, name, text) for name, text in row.items() if text != ""}
                yield Line(reader.line_num, record)
    except csv.Error as error:
        raise QueueError(
            f"The file is not CSV up to line {reader.line_num} ({error}). Is a quote not closed?"
        ) from None


def _check_header(names: Sequence[str]) -> None:
    alike = [str(column) for column, name in enumerate(names, start=1) if names.count(name) > 1]
    if alike:
        # Not by name: without a header these are the values of the first record.
        raise QueueError(
            f"The header has the same name more than once: see columns {', '.join(alike)}. "
            "Is the first line a header?"
        )


def _cell(contract: type[Record], name: str, text: str) -> Any:
    field = contract.model_fields.get(name)
    if field is None or str in (field.annotation, *get_args(field.annotation)):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
