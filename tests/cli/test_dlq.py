"""Looking at dead letters by hand: list, groups, show."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode

import pytest

from queue_core import QueueChannels, RedisClient
from queue_core.outcomes import Reason
from tests.cli.conftest import COMMAND, Command, Raw
from tests.queue.letters import bury

TUTORS = QueueChannels.TUTORS
WRONG = ("rating: Input should be less than or equal to 5",)
FILTERS = {
    "channel": "sessions",
    "reason": "rejected",
    "fault": "database: no",
    "error": "DATABASE",
    "message-id": None,
    "id": None,
    "text": "Zoë",
    "newer-than": "1h",
    "older-than": "0",
}


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_without_dead_letters_it_says_so(tutormax: Command) -> None:
    for command in ("list", "groups"):
        done = tutormax("dlq", command)
        assert (done.returncode, done.stdout) == (0, "No dead letters.\n")
        done = tutormax("dlq", command, "--channel", "tutors")
        assert (done.returncode, done.stdout) == (0, "No such dead letters.\n")


def test_list_fits_a_terminal_and_holds_no_value(tutormax: Command, client: RedisClient) -> None:
    ids = bury(
        client, 2, reason=Reason.CHECKSUM_MISMATCH, errors=("[red]a very " + "long " * 30,), name="SECRET"
    )
    done = tutormax("dlq", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(letter_id in done.stdout for letter_id in ids)
    assert "[red]a very" in done.stdout
    assert "SECRET" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_list_says_how_many_it_leaves_out(tutormax: Command, client: RedisClient) -> None:
    ids = bury(client, 3)
    done = tutormax("dlq", "list", "--limit", "2")
    assert done.stdout.splitlines()[-1].startswith("2 of 3; --limit shows more")
    assert ids[2] not in done.stdout


def test_a_program_reads_letters_as_json_lines_without_their_messages(
    tutormax: Command, client: RedisClient
) -> None:
    ids = bury(client, 2, reason=Reason.INVALID, errors=WRONG, name="SECRET")
    done = tutormax("dlq", "list", "--json")
    found = lines(done.stdout)
    assert [one["id"] for one in found] == ids
    assert (found[0]["reason"], found[0]["errors"], found[0]["channel"]) == ("invalid", list(WRONG), "tutors")
    assert "SECRET" not in done.stdout
    assert tutormax("dlq", "list", "--json", "--channel", "feedback").stdout == ""


@pytest.mark.parametrize("command", ["list", "groups"])
@pytest.mark.parametrize("option", FILTERS)
def test_every_filter_is_understood(
    tutormax: Command, client: RedisClient, command: str, option: str
) -> None:
    bury(client, 2, reason=Reason.INVALID, errors=WRONG)
    (wanted,) = bury(client, channel=QueueChannels.SESSIONS, name="Zoë")
    (letter,) = lines(tutormax("dlq", "list", "--json", "--channel", "sessions").stdout)
    value = FILTERS[option] or {"message-id": letter["message_id"], "id": wanted}[option]
    out = tutormax("dlq", command, f"--{option}", value, "--json").stdout
    if command == "list":
        found = [one["id"] for one in lines(out)]
    else:
        found = [one["example_id"] for one in json.loads(out)]
    assert found == [wanted] if option not in ("newer-than", "older-than") else wanted in found


def test_groups_show_what_is_wrong_the_biggest_first(tutormax: Command, client: RedisClient) -> None:
    bury(client, 1, name="SECRET")
    bury(client, 3, reason=Reason.INVALID, errors=WRONG, name="SECRET")
    done = tutormax("dlq", "groups")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.index("invalid") < done.stdout.index("rejected")
    assert "SECRET" not in done.stdout
    big, small = json.loads(tutormax("dlq", "groups", "--json").stdout)
    assert (big["count"], big["field"], big["reason"]) == (3, "rating", "invalid")
    assert (small["count"], small["field"]) == (1, "database")


def test_show_tells_everything(tutormax: Command, client: RedisClient) -> None:
    (letter_id,) = bury(client, errors=("name: wrong", "rating: wrong"), name="Zoë")
    done = tutormax("dlq", "show", letter_id)
    assert (done.returncode, done.stderr) == (0, "")
    for part in (letter_id, "tutors", "rejected", "name: wrong", "rating: wrong", "gives-up", '"name":"Zoë"'):
        assert part in done.stdout
    found = json.loads(tutormax("dlq", "show", letter_id, "--json").stdout)
    assert json.loads(b64decode(found["message_base64"]))["data"]["name"] == "Zoë"
    assert (found["id"], found["fields_base64"]) == (letter_id, [])


def test_show_says_when_bytes_are_not_text_and_obeys_none_of_them(
    tutormax: Command, client: RedisClient
) -> None:
    fields = {b"message": b"\x1b[31mred \xff", b"trace\n": b"\x1b\x80"}
    (letter_id,) = bury(client, fields=fields, errors=("a\x1b[2J: b",))
    done = tutormax("dlq", "show", letter_id)
    assert "It is not UTF-8 text: the first wrong byte is byte 9." in done.stdout
    assert "\\x1b[31mred \\xff" in done.stdout
    assert "trace\\n = \\x1b\\x80" in done.stdout
    assert "\x1b" not in done.stdout + tutormax("dlq", "list").stdout + tutormax("dlq", "groups").stdout


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe\x00 not UTF-8", b'{"id": "trunc', b"x" * (1_048_576 + 1), b"", b"\r\n"],
    ids=["invalid UTF-8", "truncated", "one byte too large", "empty", "line ends"],
)
def test_raw_gives_the_exact_bytes(client: RedisClient, raw: Raw, body: bytes) -> None:
    (letter_id,) = bury(client, fields={b"message": body, b"trace": b"\x00\xff"})
    assert raw("dlq", "show", letter_id, "--raw") == body
    assert raw("dlq", "show", letter_id, "--field", "trace") == b"\x00\xff"


def test_a_pipe_gets_the_exact_bytes_too(environment: dict[str, str], client: RedisClient) -> None:
    body = b"\xff\r\n\x00" * 100_000
    (letter_id,) = bury(client, fields={b"message": body})
    command = [*COMMAND, "dlq", "show", letter_id, "--raw"]
    assert subprocess.check_output(command, env={**os.environ, **environment}, timeout=90) == body


def test_a_letter_without_a_message_says_what_it_has(
    tutormax: Command, client: RedisClient, raw: Raw
) -> None:
    (letter_id,) = bury(client, fields={b"other": b"\x00\x01"})
    assert "none: the entry had no field 'message'" in tutormax("dlq", "show", letter_id).stdout
    done = tutormax("dlq", "show", letter_id, "--raw")
    assert (done.returncode, done.stdout) == (1, "")
    assert "It had other: see --field." in done.stderr
    assert raw("dlq", "show", letter_id, "--field", "other") == b"\x00\x01"
    done = tutormax("dlq", "show", letter_id, "--field", "none")
    assert (done.returncode, "those it has are: other." in done.stderr) == (1, True)


def test_letters_of_another_format_are_shown(tutormax: Command, client: RedisClient) -> None:
    letter_id = client.redis.xadd(client.keys.dead_letter, {"error": "boom", "errors": b"\xff"}).decode()
    assert letter_id in tutormax("dlq", "list").stdout
    assert "error = boom" in tutormax("dlq", "show", letter_id).stdout
    assert json.loads(tutormax("dlq", "groups", "--json").stdout)[0]["count"] == 1


def test_what_is_not_there_or_no_id_is_refused(tutormax: Command) -> None:
    done = tutormax("dlq", "show", "5-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: There is no dead letter 5-1")
    assert len(done.stderr.splitlines()) == 1
    assert tutormax("dlq", "show", "five").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--channel", "teachers"],
        ["--reason", "bad luck"],
        ["--id", "five"],
        ["--older-than", "yesterday"],
        ["--newer-than", "-1"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["list", "groups", "redrive", "discard"])
def test_a_filter_that_cannot_be_is_refused(tutormax: Command, command: str, arguments: list[str]) -> None:
    why = ["--why", "w"] if command == "discard" else []
    done = tutormax("dlq", command, *arguments, *why)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: Invalid value for ")
