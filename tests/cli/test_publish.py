"""Publishing files: formats, refused lines by number, exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from queue_core import MessageConsumer, QueueChannels, RedisClient
from tests.cli.conftest import Command

GOOD = b'{"tutor_id": "T1", "name": "A"}\n\n{"tutor_id": "T2", "name": "B", "rating": 4.5}\n'
BAD = b'not json\n{"tutor_id": "T3"}\n[1]\n{"tutor_id": "T4", "name": "D", "rating": 9}\n{"a": 1, "a": 2}\n'


def received(consumer: MessageConsumer) -> list[dict[str, object]]:
    return [message["data"] for message in consumer.consume(QueueChannels.TUTORS, 100)]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("piped", [False, True])
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


def test_csv_columns_become_what_the_contract_says(
    tutormax: Command, consumer: MessageConsumer, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(
        'tutor_id,name,rating,sessions_count,active,qualifications,room\n7,Ann,4.5,3,true,"[""PhD""]",12\n8,Bo,,,,,\n'
    )
    assert tutormax("publish", "tutors", "t.csv").returncode == 0
    assert received(consumer) == [
        {
            "tutor_id": "7",
            "name": "Ann",
            "rating": 4.5,
            "sessions_count": 3,
            "active": True,
            "qualifications": ["PhD"],
            "room": "12",
        },
        {"tutor_id": "8", "name": "Bo"},
    ]


def test_refused_lines_are_named_by_number_and_the_others_are_published(
    tutormax: Command, consumer: MessageConsumer
) -> None:
    done = tutormax("publish", "tutors", "-", given=GOOD + BAD)
    assert done.returncode == 1
    assert done.stdout == "2 published to tutors, 5 refused.\n"
    lines = done.stderr.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [f"line {n}" for n in (4, 5, 6, 7, 8)]
    assert "name: Field required" in lines[1]
    assert len(received(consumer)) == 2
    as_json = json.loads(tutormax("publish", "tutors", "-", "--json", given=BAD).stdout)
    assert (as_json["published"], [one["line"] for one in as_json["refused"]]) == (0, [1, 2, 3, 4, 5])


def test_without_the_check_what_breaks_the_contract_is_published(
    tutormax: Command, consumer: MessageConsumer
) -> None:
    done = tutormax("publish", "tutors", "-", "--no-check", given=b'{"tutor_id": "T3"}\n')
    assert (done.returncode, received(consumer)) == (0, [{"tutor_id": "T3"}])


def test_envelopes_are_published_as_they_are(
    tutormax: Command, client: RedisClient, consumer: MessageConsumer
) -> None:
    tutormax("publish", "tutors", "-", given=GOOD)
    stream = client.keys.stream(QueueChannels.TUTORS)
    bodies = [fields[b"message"] for _, fields in client.redis.xrange(stream)]
    forged = bodies[0].replace(b'"name":"A"', b'"name":"Z"')
    done = tutormax("publish", "tutors", "-", "--envelopes", given=b"\n".join([*bodies, forged]))
    assert done.returncode == 1
    assert "2 published" in done.stdout
    assert "line 3: checksum" in done.stderr
    ids = [message["id"] for message in consumer.consume(QueueChannels.TUTORS, 100)]
    assert ids[:2] == ids[2:]


@pytest.mark.parametrize(
    ("arguments", "given", "code", "words"),
    [
        (["tutors", "no-such-file"], b"", 1, "no-such-file cannot be read"),
        (["tutor", "-"], b"", 2, "tutors, sessions, feedback"),
        (["tutors", "-"], gzip.compress(GOOD)[:-12], 1, "ends or breaks"),
    ],
    ids=["no file", "no channel", "damaged"],
)
def test_what_cannot_be_read_is_told_in_one_line(
    tutormax: Command, arguments: list[str], given: bytes, code: int, words: str
) -> None:
    done = tutormax("publish", *arguments, given=given)
    assert done.returncode == code
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_full_queue_refuses_by_line(tutormax: Command) -> None:
    done = tutormax("publish", "tutors", "-", given=GOOD, REDIS_QUEUE_MAXLEN="1")
    assert (done.returncode, done.stdout) == (1, "1 published to tutors, 1 refused.\n")
    assert "line 3: Queue tutors is full" in done.stderr
