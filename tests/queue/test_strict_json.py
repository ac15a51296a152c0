"""JSON that reads back as the same value everywhere, or is refused."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_core import strict_json
from queue_core.strict_json import MAX_NESTING, StrictJSONError
from tests.queue.json_values import integers, keys, nested, texts, values


class Status(enum.StrEnum):
    COMPLETED = "completed"


class Price(float):
    """As numpy's float64 is, a subclass."""


Point = collections.namedtuple("Point", "x y")


def deep(levels: int, *, in_objects: bool = False) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value} if in_objects else [value]
    return value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'"a', "not JSON"),
        (b"{} {}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b'"\xed\xa0\x80"', "not JSON"),
        (b'"\\ud800"', "not JSON"),
        (b'"\\udc00\\ud800"', "not JSON"),
        (b'"\x00"', "not JSON"),
        (b'"\\u0000"', "U+0000"),
        (b'{"\\u0000": 1}', "U+0000"),
        (b"NaN", "not JSON"),
        (b"-Infinity", "not JSON"),
        (b"1e999", "not JSON"),
        (b"01", "not JSON"),
        (b"9007199254740992", "2^53"),
        (b"-9007199254740992", "2^53"),
        (b"1" * 30, "2^53"),
        (b"1" * 5_000, "not JSON"),
        (b'{"a": 1, "a": 1}', "same key twice"),
        (b'{"a": 1, "\\u0061": 2}', "same key twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "same key twice"),
        (b"[" * 65 + b"]" * 65, "nested deeper"),
        (b"[" * 600 + b"]" * 600, "nested deeper"),
        (b"[" * 1_010 + b"]" * 1_010, "nested deeper"),
        (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_text_that_another_reader_would_read_differently_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(StrictJSONError) as caught:
        strict_json.loads(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b' {"b": 1,\n "a": [] } ', {"b": 1, "a": []}),
        (b"9007199254740991", 2**53 - 1),
        (b"-9007199254740991", -(2**53) + 1),
        (b"0.10000000000000000000000000000000001", 0.1),
        (b"1E+2", 100.0),
        (b'"\\\\u0000"', "\\u0000"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"' + b"{[" * 500 + b'"', "{[" * 500),
        (b"[" + b"[]," * 500 + b"[]]", [[]] * 501),
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
    ],
)
def test_what_is_merely_written_unusually_is_read(text: bytes, value: object) -> None:
    assert strict_json.loads(text) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "$.x: NaN or infinity is not JSON"),
        (float("-inf"), "$.x: NaN or infinity is not JSON"),
        (2**53, "$.x: integer beyond 2^53 - 1"),
        (-(2**60), "$.x: integer beyond 2^53 - 1"),
        ("a\x00b", "$.x: contains U+0000"),
        ("\ud800", "$.x: contains a lone surrogate"),
        ({"\x00": 1}, "a key of $.x: contains U+0000"),
        ({"\udfff": 1}, "a key of $.x: contains a lone surrogate"),
        ({1: "x"}, "$.x: a key is int, not plain text"),
        ({Status.COMPLETED: 1}, "$.x: a key is Status, not plain text"),
        ([0, {"y": 2**53}], "$.x.1.*: integer beyond 2^53 - 1"),
        (Price(4.5), "$.x: Price is not a plain number; send float(...) of it"),
        (Point(1, 2), "$.x: Point is not JSON"),
        (decimal.Decimal(1), "$.x: Decimal is not JSON; send text or a number"),
        (datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "$.x: datetime is not JSON"),
        (b"bytes", "$.x: bytes is not JSON"),
        ({1, 2}, "$.x: set is not JSON"),
        (object(), "$.x: object is not JSON"),
        (deep(MAX_NESTING), "nested deeper than 64"),
        (deep(MAX_NESTING, in_objects=True), "nested deeper than 64"),
        (deep(100_000), "nested deeper than 64"),
    ],
)
def test_a_value_that_json_would_change_is_refused_with_its_path(value: object, words: str) -> None:
    with pytest.raises(StrictJSONError) as caught:
        strict_json.check({"x": value})
    assert str(caught.value).startswith(words)


MARK = "MARKED Doe"
FIELDS = {"data": True, "id": False}


@pytest.mark.parametrize(
    ("value", "fields", "place"),
    [
        ({MARK: 2**53}, None, "$.*"),
        ({"x" * 65: 2**53}, None, "$.*"),
        ({"": 2**53}, None, "$.*"),
        ({"x" * 64: 2**53}, None, "$." + "x" * 64),
        ({"a.B-c_9": 2**53}, None, "$.a.B-c_9"),
        ({"a": {"MARKED": 2**53}}, None, "$.a.*"),
        ({"a": [{"MARKED": [0, 2**53]}]}, None, "$.a.0.*.1"),
        ([{"MARKED": 2**53}], None, "$.0.*"),
        ({"a": {MARK: {"x\x00": 1}}}, None, "a key of $.a.*"),
        ({"MARKED": 2**53}, FIELDS, "$.*"),
        ({"id": 2**53}, FIELDS, "$.id"),
        ({"id": {"MARKED": 2**53}}, FIELDS, "$.id.*"),
        ({"data": {"name": 2**53}}, FIELDS, "$.data.name"),
        ({"data": {MARK: 2**53}}, FIELDS, "$.data.*"),
        ({"data": [{"MARKED": 2**53}]}, FIELDS, "$.data.0.*"),
        ({"data": {"metrics": {"MARKED": 2**53}}}, FIELDS, "$.data.metrics.*"),
        ({"MARKED": {"name": 2**53}}, FIELDS, "$.*.*"),
    ],
    ids=ascii,
)
def test_only_keys_that_are_fields_are_named(
    value: object, fields: dict[str, bool] | None, place: str
) -> None:
    with pytest.raises(StrictJSONError) as caught:
        strict_json.check(value, fields=fields)
    assert str(caught.value).startswith(f"{place}: ")


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(StrictJSONError, match="nested deeper"):
        strict_json.check(circle)


@pytest.mark.parametrize("in_objects", [False, True])
def test_reading_and_checking_draw_the_line_of_nesting_at_the_same_depth(in_objects: bool) -> None:
    last = deep(MAX_NESTING, in_objects=in_objects)
    strict_json.check(last)
    assert strict_json.loads(strict_json.dumps(last)) == last
    with pytest.raises(StrictJSONError):
        strict_json.loads(strict_json.dumps([last]))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (Status.COMPLETED, "completed"),
        (enum.IntEnum("Level", "LOW").LOW, 1),
        ((1, 2), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}),
        (True, True),
    ],
)
def test_python_values_with_an_evident_meaning_are_carried(value: object, read: object) -> None:
    strict_json.check(value)
    assert strict_json.loads(strict_json.dumps(value)) == read
    assert strict_json.canonical(value) == strict_json.canonical(read)


@given(values)
def test_what_is_accepted_reads_back_equal_and_of_the_same_type(value: object) -> None:
    strict_json.check(value)
    assert repr(strict_json.loads(strict_json.dumps(value))) == repr(value)


@given(values, st.booleans(), st.sampled_from([None, 0, 3]))
def test_however_a_producer_writes_it_the_same_value_is_read(
    value: object, escaped: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    assert repr(strict_json.loads(text)) == repr(value)


@given(st.binary(max_size=100))
def test_every_byte_string_is_a_value_or_a_strict_json_error(text: bytes) -> None:
    try:
        value = strict_json.loads(text)
    except StrictJSONError:
        return
    strict_json.check(value)


def test_the_canonical_form_is_that_of_rfc_8785() -> None:
    # Section 3.2.2 and 3.2.3 of the RFC.
    numbers = [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001]
    assert strict_json.canonical(numbers) == b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"
    assert strict_json.canonical([4.0, -0.0, 1e21, 1e20]) == b"[4,0,1e+21,100000000000000000000]"
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f"
    assert strict_json.canonical(text) == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'
    members = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(strict_json.canonical(dict.fromkeys(members))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


bmp_keys = st.text('ab"\\\n\x7f\x80é€\ufb33', max_size=4)


@given(
    st.recursive(
        st.none() | st.booleans() | integers | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(bmp_keys, inner, max_size=4),
        max_leaves=15,
    )
)
def test_the_sorted_form_is_the_canonical_one_but_for_floats_and_rare_keys(value: object) -> None:
    assert strict_json.sorted_form(value) == strict_json.canonical(value)


@given(nested(st.floats(allow_nan=False, allow_infinity=False)) | st.dictionaries(keys, integers))
def test_where_the_two_forms_differ_they_still_mean_the_same(value: object) -> None:
    canonical, fast = strict_json.canonical(value), strict_json.sorted_form(value)
    assert json.loads(canonical, parse_int=float) == json.loads(fast, parse_int=float)
