"""Publishing files: formats, refused lines by number, exit codes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tests.cli.conftest import Command

TUTORS = QueueChannels.TUTORS
GOOD = b'{"tutor_id": "T1", "name": "A"}\n\n{"tutor_id": "T2", "name": "B", "rating": 4.5}\n'
BAD = b'not json\n{"tutor_id": "T3"}\n[1]\n{"tutor_id": "T4", "name": "D", "rating": 9}\n{"a": 1, "a": 2}\n'


def received(consumer: MessageConsumer) -> list[dict[str, object]]:
    return [message["data"] for message in consumer.consume(TUTORS, 100)]


def bodies(client: RedisClient) -> list[bytes]:
    return [fields[b"message"] for _, fields in client.redis.xrange(client.keys.stream(TUTORS))]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_json_lines_plain_or_gzipped_from_a_file_or_a_pipe(
    tutormax: Command, consumer: MessageConsumer, tmp_path: Path, zipped: bool, piped: bool
) -> None:
    content = gzip.compress(GOOD) if zipped else GOOD
    (tmp_path / "tutors").write_bytes(content)
    done = (
        tutormax("publish", "tutors", "-", given=content)
        if piped
        else tutormax("publish", "tutors", "tutors")
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 published to tutors, 0 refused.\n", "")
    assert [one["tutor_id"] for one in received(consumer)] == ["T1", "T2"]


def test_a_real_pipe_works_as_well(process: Command, client: RedisClient) -> None:
    done = process("publish", "tutors", "-", given=gzip.compress(GOOD))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 published to tutors, 0 refused.\n", "")
    assert len(bodies(client)) == 2


def test_a_channel_may_be_named_by_its_key(tutormax: Command, consumer: MessageConsumer) -> None:
    assert tutormax("publish", "tutormax:tutors", "-", given=GOOD).returncode == 0
    assert len(received(consumer)) == 2


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "export"])
def test_csv_columns_become_what_the_contract_says(
    tutormax: Command, consumer: MessageConsumer, tmp_path: Path, name: str
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ["tutor_id", "name", "rating", "sessions_count", "active", "qualifications", "room"],
            ["7", "Ann\nLee", "4.5", "3", "true", '["PhD"]', "12"],
            ["8", "Bo", "", "", "", "", ""],
        ]
    )
    content = b"\xef\xbb\xbf" + text.getvalue().encode()  # as spreadsheets write it
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    done = tutormax("publish", "tutors", name, *(["--csv"] if name == "export" else []))
    assert (done.returncode, done.stderr) == (0, "")
    assert received(consumer) == [
        {
            "tutor_id": "7",
            "name": "Ann\nLee",
            "rating": 4.5,
            "sessions_count": 3,
            "active": True,
            "qualifications": ["PhD"],
            "room": "12",
        },
        {"tutor_id": "8", "name": "Bo"},
    ]


def test_csv_rows_that_cannot_be_are_refused_and_their_neighbours_published(
    tutormax: Command, consumer: MessageConsumer
) -> None:
    rows = b"tutor_id,name,rating\nT1,A,4\nT2,B\nT3,C,4,x\nT4,Jos\xe9,4\nT5,E,high\nT6,F,5\n"
    done = tutormax("publish", "tutors", "-", "--csv", given=rows)
    assert (done.returncode, done.stdout) == (1, "2 published to tutors, 4 refused.\n")
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()] == [
        f"line {n}" for n in (3, 4, 5, 6)
    ]
    assert [one["tutor_id"] for one in received(consumer)] == ["T1", "T6"]


def test_refused_lines_are_named_by_number_and_the_others_are_published(
    tutormax: Command, consumer: MessageConsumer
) -> None:
    done = tutormax("publish", "tutors", "-", given=GOOD + BAD)
    assert done.returncode == 1
    assert done.stdout == "2 published to tutors, 5 refused.\n"
    lines = done.stderr.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [f"line {n}" for n in (4, 5, 6, 7, 8)]
    assert "name: Field required" in lines[1]
    assert "rating: " in lines[3]
    assert len(received(consumer)) == 2


def test_a_program_reads_the_report_as_json(tutormax: Command) -> None:
    good = tutormax("publish", "tutors", "-", "--json", given=GOOD)
    assert (good.returncode, json.loads(good.stdout)) == (0, {"published": 2, "refused": []})
    bad = tutormax("publish", "tutors", "-", "--json", given=BAD)
    assert (bad.returncode, bad.stderr) == (1, "")
    found = json.loads(bad.stdout)
    assert (found["published"], [one["line"] for one in found["refused"]]) == (0, [1, 2, 3, 4, 5])
    assert all(one["error"] for one in found["refused"])


def test_of_many_refused_lines_the_first_are_named_and_the_rest_counted(tutormax: Command) -> None:
    done = tutormax("publish", "tutors", "-", given=b"junk\n" * 1_200)
    assert done.stdout == "0 published to tutors, 1,200 refused.\n"
    lines = done.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1].strip() == "... and 1,180 more."


def test_without_the_check_what_breaks_the_contract_is_published(
    tutormax: Command, consumer: MessageConsumer
) -> None:
    record = b'{"tutor_id": "T3"}\n'
    assert tutormax("publish", "tutors", "-", given=record).returncode == 1
    assert received(consumer) == []
    done = tutormax("publish", "tutors", "-", "--no-check", given=record)
    assert (done.returncode, received(consumer)) == (0, [{"tutor_id": "T3"}])


def test_an_unchecked_record_ends_as_a_dead_letter_of_the_drain(tutormax: Command) -> None:
    tutormax("publish", "tutors", "-", "--no-check", given=b'{"tutor_id": "T3"}\n' + GOOD)
    result = json.loads(tutormax("drain", "tutors", "--json").stdout)["tutors"]
    assert (result["stored"], result["dead_lettered"]) == (2, 1)
    assert json.loads(tutormax("status", "--json").stdout)["channels"]["tutors"]["dead"] == 1


def test_envelopes_published_twice_are_recorded_as_duplicates(tutormax: Command, client: RedisClient) -> None:
    tutormax("publish", "tutors", "-", given=GOOD)
    envelopes = b"\n".join(bodies(client))
    for _ in range(2):
        done = tutormax("publish", "tutors", "-", "--envelopes", given=envelopes)
        assert (done.returncode, done.stdout) == (0, "2 published to tutors, 0 refused.\n")
    ids = [json.loads(body)["id"] for body in bodies(client)]
    assert ids[:2] == ids[2:4] == ids[4:]
    result = json.loads(tutormax("drain", "tutors", "--json").stdout)["tutors"]
    assert (result["stored"], result["duplicate"], result["dagster/row_count"]) == (2, 4, 2)


@pytest.mark.parametrize("options", [[], ["--envelopes"], ["--no-check"], ["--csv"]], ids=" ".join)
def test_no_refusal_holds_a_value_or_a_free_form_key(tutormax: Command, options: list[str]) -> None:
    big = b'{"MARKED Doe": {"MARKED": 9007199254740993}}'
    lines = [
        b'{"tutor_id": "T", "name": "x", "metrics": %b}' % big,
        b'{"MARKED Doe": 9007199254740993}',
        b'{"id": "m", "channel": "c", "data": {"metrics": %b}}' % big,
        b'{"id": "m", "MARKED": 9007199254740993}',
        b'{"MARKED": 1, "MARKED": 1}',
    ]
    if options == ["--csv"]:
        lines = [b"MARKED Doe,x,MARKED Doe", b"1,2,3"]
    if not options or options == ["--no-check"]:
        lines.pop(3)  # a field of a record, as far as one can see
    for extra in ([], ["--json"]):
        done = tutormax("publish", "tutors", "-", *options, *extra, given=b"\n".join(lines))
        assert done.returncode == 1
        assert "MARKED" not in done.stdout + done.stderr


def test_envelopes_that_are_none_are_refused(tutormax: Command, client: RedisClient) -> None:
    tutormax("publish", "tutors", "-", given=GOOD)
    body = bodies(client)[0]
    forged = body.replace(b'"name":"A"', b'"name":"Z"')
    elsewhere = body.replace(b":tutors", b":sessions")
    done = tutormax(
        "publish", "tutors", "-", "--envelopes", given=b"\n".join([body, forged, elsewhere, b'{"id": 1}'])
    )
    assert (done.returncode, done.stdout) == (1, "1 published to tutors, 3 refused.\n")
    assert "line 2: checksum" in done.stderr
    assert len(bodies(client)) == 3


def broken_in_the_middle() -> bytes:
    """Gzip whose compressed bytes, not only its end, are damaged."""
    first = gzip.compress(b"".join(b'{"tutor_id": "T%d", "name": "x"}\n' % n for n in range(700)))
    second = bytearray(gzip.compress(GOOD))
    second[10] = 0x07  # a kind of block that does not exist
    with pytest.raises(zlib.error):
        gzip.decompress(second)
    return first + second


@pytest.mark.parametrize(
    ("arguments", "given", "code", "words"),
    [
        (["tutors", "no-such-file"], b"", 1, "no-such-file cannot be read (No such file or directory)"),
        (["tutors", "."], b"", 1, "cannot be read (Is a directory)"),
        (["tutor", "-"], b"", 2, "tutors, sessions, feedback"),
        (["tutors", "-"], gzip.compress(GOOD)[:-12], 1, "ends or breaks in the middle"),
        (["tutors", "-"], broken_in_the_middle(), 1, "ends or breaks in the middle"),
        (["tutors", "-", "--csv"], b'tutor_id,name\nT1,"A' + b"\nx" * 100_000, 1, "Is a quote not closed?"),
        (
            ["tutors", "-", "--csv"],
            b"tutor_id,name,name\nT1,A,B\n",
            1,
            "the same name more than once: see columns 2, 3.",
        ),
    ],
    ids=["no file", "folder", "no channel", "cut gzip", "damaged gzip", "open quote", "column twice"],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tutormax: Command, arguments: list[str], given: bytes, code: int, words: str
) -> None:
    done = tutormax("publish", *arguments, given=given)
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last


def test_a_file_that_breaks_says_how_much_of_it_is_published(tutormax: Command, client: RedisClient) -> None:
    done = tutormax("publish", "tutors", "-", given=broken_in_the_middle())
    assert len(bodies(client)) > 0
    assert f"Before that, {len(bodies(client)):,} were published." in done.stderr


def test_an_empty_file_is_no_error(tutormax: Command) -> None:
    done = tutormax("publish", "tutors", "-")
    assert (done.returncode, done.stdout) == (0, "0 published to tutors, 0 refused.\n")


def test_a_full_queue_refuses_by_line(
    tutormax: Command, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    done = tutormax("publish", "tutors", "-", given=GOOD, REDIS_QUEUE_MAXLEN="1")
    assert (done.returncode, done.stdout) == (1, "1 published to tutors, 1 refused.\n")
    assert "line 3: Queue tutors is full" in done.stderr
    assert "REDIS_QUEUE_MAXLEN" in done.stderr
    assert [one["tutor_id"] for one in received(consumer)] == ["T1"]


def test_a_record_that_is_too_large_is_refused_by_line(tutormax: Command) -> None:
    done = tutormax("publish", "tutors", "-", given=GOOD, REDIS_MAX_MESSAGE_SIZE_BYTES="100")
    assert (done.returncode, done.stdout) == (1, "0 published to tutors, 2 refused.\n")
    assert "line 1: " in done.stderr
    assert "REDIS_MAX_MESSAGE_SIZE_BYTES" in done.stderr
