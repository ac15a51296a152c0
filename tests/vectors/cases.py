"""The cases of ``docs/vectors/envelopes.json``: what producers in other languages get wrong.

Each is written by hand, as text: parsed and written again it would no longer be the case it is.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from queue_core import strict_json
from queue_core.outcomes import Reason
from queue_core.serializer import checksum

STREAM = "tutormax:tutors"
ID = "7f1c2c0e-6a39-4f6e-9a3f-2f5d1b0c4e11"
TIMESTAMP = "2026-11-07T21:00:00Z"
DATA = '{"tutor_id":"T001","name":"John Smith"}'

#: Data whose canonical form is easily got wrong.
CANONICAL = {
    "the example of the guide": '{"tutor_id": "T001", "name": "John Smith"}',
    "no fields": "{}",
    "spaces between tokens are left out": '{ "b" :\t[ 1 ,\n2 ] , "a" : { } }',
    "keys are sorted at every depth, lists are not": '{"b":{"d":1,"c":2},"a":[3,1,{"z":0,"y":0}]}',
    "keys are sorted by UTF-16 units": '{"\\ufb33":1,"\\ud83d\\ude00":2,"\\u20ac":3,"a":4}',
    "the same, not escaped": '{"\ufb33":1,"\U0001f600":2,"\u20ac":3,"a":4}',
    "keys that look like numbers are sorted as text": '{"10":1,"9":2,"1":3,"":4,"-1":5}',
    "capitals sort before small letters": '{"a":1,"B":2,"A":3,"b":4,"_":5}',
    "a key that begins another one sorts first": '{"ab":1,"a":2,"a b":3}',
    "keys with control characters": '{"\\r":1,"\\n":2,"\\u0080":3,"\\u007f":4}',
    "a key called __proto__": '{"__proto__":{"a":1},"constructor":2}',
    "only what must be is escaped": '{"a":"\\u0041\\/\\u00e9\\u20ac\\u007f\\u0080\\u2028"}',
    "the short escapes": '{"a":"\\u0008\\u0009\\u000a\\u000c\\u000d\\u0022\\u005c"}',
    "the long escapes, in small letters": '{"a":"\\u0001\\u000B\\u001F"}',
    "characters beyond the basic plane": '{"a":"\\uD83D\\uDE00\U0001f469\u200d\U0001f467"}',
    "text is not normalised": '{"a":"\u00e9 e\u0301 \u212b"}',
    "whole numbers": '{"a":[0,1,-1,150,9007199254740991,-9007199254740991]}',
    "a whole number written as a fraction": '{"a":[1.0,4.50,100.00,2e2,1E0]}',
    "zero has no sign": '{"a":[-0,-0.0,0e7,-0e-7]}',
    "fractions": '{"a":[0.1,0.2,0.30000000000000004,4.8,3.14159]}',
    "an exponent from 1e21 on": '{"a":[1e20,123456789012345680000.0,999999999999999900000.0,1e21,1.5e300]}',
    "an exponent below 1e-6": '{"a":[0.00001,0.000001,0.0000001,1e-7,1.5e-9]}',
    "2^53 as a fraction": '{"a":[9007199254740992.0,9007199254740994.0,4503599627370496.5]}',
    "more digits than a double has": '{"a":[333333333.33333329,0.1000000000000000055511151231257827]}',
    "the least and the greatest": '{"a":[5e-324,2.2250738585072014e-308,1.7976931348623157e308]}',
    "a number too small is zero": '{"a":1e-400}',
    "the three words": '{"a":[true,false,null]}',
    "nested": '{"a":[[[[{"b":[{}]}]]]],"":{"":{"":""}}}',
}


class Case(NamedTuple):
    """An envelope.

    Attributes:
        name: what is special about it.
        body: the bytes of the entry's field ``message``.
        reason: why it is refused; None where it is accepted.
        max_bytes: the size that is allowed.
    """

    name: str
    body: bytes
    reason: Reason | None = None
    max_bytes: int = 1_048_576


def envelope(data: str = DATA, *, leave_out: str = "", **changes: str) -> bytes:
    """An envelope in which some members are other JSON, or missing."""
    try:
        digest = checksum(strict_json.loads(data.encode()))
    except (ValueError, TypeError):
        digest = hashlib.sha256(data.encode()).hexdigest()
    members = {
        "id": f'"{ID}"',
        "timestamp": f'"{TIMESTAMP}"',
        "channel": f'"{STREAM}"',
        "data": data,
        "metadata": '{"source":"api"}',
        "checksum": f'"{digest}"',
    } | changes
    return ("{" + ",".join(f'"{k}":{v}' for k, v in members.items() if k != leave_out) + "}").encode()


def digest_of(text: str) -> str:
    return f'"{hashlib.sha256(text.encode()).hexdigest()}"'


_ZEROS = '"' + "0" * 64 + '"'

ACCEPTED = [
    Case("the example of the guide", envelope()),
    Case("without metadata", envelope(leave_out="metadata")),
    Case("members that nobody knows are passed over", envelope(trace='{"span":1}')),
    Case("spaces between tokens", envelope().replace(b",", b" ,\n\t").replace(b":{", b" : {")),
    Case(
        "the checksum in capitals",
        envelope(checksum=digest_of('{"name":"John Smith","tutor_id":"T001"}').upper()),
    ),
    Case("an id that is no UUID", envelope(id='"order-17/3"')),
    Case("an id of 128 characters", envelope(id='"' + "\U0001f600" * 128 + '"')),
    Case("a timestamp with milliseconds", envelope(timestamp='"2026-11-07T21:00:00.125Z"')),
    Case("a timestamp with an offset", envelope(timestamp='"2026-11-07T22:30:00+01:30"')),
    Case("a timestamp without an offset is UTC", envelope(timestamp='"2026-11-07T21:00:00"')),
    Case("a timestamp with a space", envelope(timestamp='"2026-11-07 21:00:00Z"')),
    Case("a time to live", envelope(metadata='{"ttl_seconds":60}')),
    Case("escapes that need not be", envelope('{"tutor_id":"\\u0054001","name":"\\ud83d\\ude00"}')),
    Case(
        "numbers written in other ways",
        envelope('{"tutor_id":"T1","name":"x","rating":4.50,"metrics":{"a":1E21}}'),
    ),
    Case(
        "keys that sort by UTF-16 units", envelope('{"tutor_id":"T1","name":"x","\ufb33":1,"\U0001f600":2}')
    ),
    Case("nested 64 deep, the envelope and its data counted", envelope('{"a":' + "[" * 62 + "]" * 62 + "}")),
    Case("of exactly the size allowed", envelope(), max_bytes=len(envelope())),
]

_MALFORMED = Reason.MALFORMED
REFUSED = [
    Case("empty", b"", _MALFORMED),
    Case("not JSON", b"hello", _MALFORMED),
    Case("cut off", envelope()[:-20], _MALFORMED),
    Case("two values", b"{}{}", _MALFORMED),
    Case("a trailing comma", envelope()[:-1] + b",}", _MALFORMED),
    Case("single quotes", envelope().replace(b'"', b"'"), _MALFORMED),
    Case("a byte order mark", b"\xef\xbb\xbf" + envelope(), _MALFORMED),
    Case(
        "Latin-1 instead of UTF-8",
        envelope('{"tutor_id":"T1","name":"Z\u00fc"}').replace(b"\xc3\xbc", b"\xfc"),
        _MALFORMED,
    ),
    Case("UTF-16 instead of UTF-8", envelope().decode().encode("utf-16-le"), _MALFORMED),
    Case("a list", b"[" + envelope() + b"]", _MALFORMED),
    Case("the envelope as text within text", b'"{}"', _MALFORMED),
    Case("no id", envelope(leave_out="id"), _MALFORMED),
    Case("an empty id", envelope(id='""'), _MALFORMED),
    Case("an id that is a number", envelope(id="17"), _MALFORMED),
    Case("an id of 129 characters", envelope(id='"' + "x" * 129 + '"'), _MALFORMED),
    Case("no timestamp", envelope(leave_out="timestamp"), _MALFORMED),
    Case("a timestamp in seconds since 1970", envelope(timestamp="1762549200"), _MALFORMED),
    Case("a timestamp that is only a date", envelope(timestamp='"2026-11-07"'), _MALFORMED),
    Case("a timestamp on a day that is none", envelope(timestamp='"2026-02-30T21:00:00Z"'), _MALFORMED),
    Case("a timestamp in words", envelope(timestamp='"Sat, 07 Nov 2026 21:00:00 GMT"'), _MALFORMED),
    Case("no channel", envelope(leave_out="channel"), _MALFORMED),
    Case("no data", envelope(leave_out="data"), _MALFORMED),
    Case("data that is a list", envelope("[1]"), _MALFORMED),
    Case("data that is text", envelope('"{}"'), _MALFORMED),
    Case("metadata that is null", envelope(metadata="null"), _MALFORMED),
    Case("no checksum", envelope(leave_out="checksum"), _MALFORMED),
    Case("a checksum that is null", envelope(checksum="null"), _MALFORMED),
    Case("the same key twice", envelope('{"a":1,"a":2}'), _MALFORMED),
    Case("the same key twice, once escaped", envelope('{"a":1,"\\u0061":2}'), _MALFORMED),
    Case("2^53 as a whole number", envelope('{"a":9007199254740992}'), _MALFORMED),
    Case("-2^53 as a whole number", envelope('{"a":-9007199254740992}'), _MALFORMED),
    Case("a number beyond a double", envelope('{"a":1e400}'), _MALFORMED),
    Case("NaN", envelope('{"a":NaN}'), _MALFORMED),
    Case("infinity", envelope('{"a":-Infinity}'), _MALFORMED),
    Case("a leading zero", envelope('{"a":007}'), _MALFORMED),
    Case("no digit after the point", envelope('{"a":1.}'), _MALFORMED),
    Case("U+0000", envelope('{"a":"\\u0000"}'), _MALFORMED),
    Case("U+0000 in a key", envelope('{"a\\u0000b":1}'), _MALFORMED),
    Case("a line end within text, not escaped", envelope('{"a":"b\nc"}'), _MALFORMED),
    Case("half of a surrogate pair", envelope('{"a":"\\ud83d"}'), _MALFORMED),
    Case("a surrogate pair in the wrong order", envelope('{"a":"\\ude00\\ud83d"}'), _MALFORMED),
    Case("an escape that JSON does not have", envelope('{"a":"\\x41"}'), _MALFORMED),
    Case("nested 65 deep", envelope('{"a":' + "[" * 63 + "]" * 63 + "}"), _MALFORMED),
    Case("one byte too large", envelope(), Reason.TOO_LARGE, len(envelope()) - 1),
    Case("another checksum", envelope(checksum=_ZEROS), Reason.CHECKSUM_MISMATCH),
    Case("an empty checksum", envelope(checksum='""'), Reason.CHECKSUM_MISMATCH),
    Case(
        "the checksum of the data with its keys as they came",
        envelope(checksum=digest_of(DATA)),
        Reason.CHECKSUM_MISMATCH,
    ),
    Case(
        "the checksum of the data with spaces",
        envelope(checksum=digest_of('{"name": "John Smith", "tutor_id": "T001"}')),
        Reason.CHECKSUM_MISMATCH,
    ),
    Case(
        "the checksum of the data with everything but ASCII escaped",
        envelope('{"name":"Z\u00fc"}', checksum=digest_of('{"name":"Z\\u00fc"}')),
        Reason.CHECKSUM_MISMATCH,
    ),
    Case(
        "the checksum of keys sorted by code points",
        envelope('{"\ufb33":1,"\U0001f600":2.0}', checksum=digest_of('{"\ufb33":1,"\U0001f600":2}')),
        Reason.CHECKSUM_MISMATCH,
    ),
    Case("the channel's name instead of its key", envelope(channel='"tutors"'), Reason.INVALID),
    Case("another channel's key", envelope(channel='"tutormax:sessions"'), Reason.INVALID),
]
