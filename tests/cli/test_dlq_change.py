"""Redriving, editing and discarding dead letters by hand."""

from __future__ import annotations

import getpass
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.letter import MOST_FIELDS
from tests.cli.conftest import COMMAND, Command
from tests.conftest import wait_until
from tests.queue.conftest import frozen, messages, tutor
from tests.queue.letters import bury, waiting
from tests.queue.test_dead_letters_redrive import odd_letter
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import ArchivedLetter, StoreArchive
from tutormax_pipeline.store.database import Purpose

TUTORS = QueueChannels.TUTORS


def archived(tmp_path: Path) -> list[ArchivedLetter]:
    with Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store:
        return StoreArchive(store).letters()


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["by default", "asked for"])
def test_without_yes_nothing_is_changed(
    tutormax: Command, client: RedisClient, tmp_path: Path, dry: list[str]
) -> None:
    (one, *_) = bury(client, 3, name="SECRET")
    for arguments, said in (
        (["redrive"], "3 would be redriven. Dead letters that match now: 3."),
        (["discard", "--why", "w"], "3 would be discarded. Dead letters that match now: 3."),
        (
            ["edit", one, "--patch", '{"name": "y"}', "--why", "w"],
            f"Dead letter {one} would be published so.",
        ),
    ):
        done = tutormax("dlq", *arguments, *dry)
        assert (done.returncode, done.stderr) == (0, "")
        assert said in done.stdout
        assert "Nothing was changed: --yes does it." in done.stdout
        assert "SECRET" not in done.stdout
    assert (DeadLetters(client).count(), waiting(client), archived(tmp_path)) == (3, [], [])


def test_redrive_puts_back_what_is_chosen(tutormax: Command, client: RedisClient) -> None:
    bury(client, 3)
    bury(client, 2, channel=QueueChannels.SESSIONS)
    done = tutormax("dlq", "redrive", "--channel", "tutors", "--limit", "2", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 redriven. Dead letters that match now: 1.\n"
    report = json.loads(tutormax("dlq", "redrive", "--yes", "--json").stdout)
    assert (report["redriven"], report["left"], report["dry_run"], report["full"]) == (3, 0, False, {})
    assert len(waiting(client)) == 3


def test_redrive_says_what_stays_and_why(tutormax: Command, client: RedisClient) -> None:
    bury(client, fields={b"message": b"{}", b"redrives": b"2"})
    bury(client, fields={b"message": b"{}", **{b"f%d" % n: b"v" for n in range(MOST_FIELDS + 1)}})
    done = tutormax("dlq", "redrive", "--max-redrives", "2", "--yes")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "0 redriven. Dead letters that match now: 2.",
        "1 redriven 2 times before (--max-redrives), left as they are.",
        "1 without a message that can be published, left as they are.",
    ]


def test_a_full_queue_is_told_with_what_to_do(tutormax: Command, client: RedisClient) -> None:
    bury(client, 3)
    client.redis.delete(client.keys.stream(TUTORS))
    MessagePublisher(client).publish(TUTORS, tutor(1))
    done = tutormax("dlq", "redrive", "--yes", REDIS_QUEUE_MAXLEN="2")
    assert (done.returncode, done.stdout) == (1, "1 redriven. Dead letters that match now: 2.\n")
    assert done.stderr == (
        "Queue tutors is full: 2 stay. Drain it ('tutormax drain tutors'), "
        "then give the same command again.\n"
    )


def test_a_letter_that_cannot_be_put_back_is_named_and_the_others_go(
    tutormax: Command, client: RedisClient
) -> None:
    odd = odd_letter(client)
    bury(client, 2)
    done = tutormax("dlq", "redrive", "--yes")
    assert (done.returncode, done.stdout) == (1, "2 redriven. Dead letters that match now: 1.\n")
    said, named = done.stderr.splitlines()
    assert said.startswith("1 could not be put back, and stay.")
    assert named.startswith(f"  {odd}: ")
    assert tutormax("dlq", "discard", "--id", odd, "--why", "w", "--yes").returncode == 0


def test_ctrl_c_ends_a_redrive_in_order_and_the_same_command_goes_on(
    environment: dict[str, str], tutormax: Command, client: RedisClient
) -> None:
    bury(client, 400)
    process = subprocess.Popen(
        [*COMMAND, "dlq", "redrive", "--rate", "20", "--yes"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    letters = DeadLetters(client)
    wait_until(lambda: letters.count() < 400, 60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    left = letters.count()
    assert 0 < left < 400
    assert (process.returncode, err) == (1, "Stopped as asked. The same command goes on.\n")
    assert out == f"{400 - left} redriven. Dead letters that match now: {left}.\n"
    assert tutormax("dlq", "redrive", "--yes").returncode == 0
    assert len({one.id for one in messages(client)}) == len(waiting(client)) == 400


def test_a_redis_that_goes_away_is_told_in_one_line_with_what_was_done(
    tutormax: Command, valkey: EmbeddedServer, client: RedisClient
) -> None:
    bury(client, 2)
    with frozen(valkey):
        done = tutormax("dlq", "redrive", "--yes", REDIS_SOCKET_TIMEOUT="0.2")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Redis at ")
    assert line.endswith("Before that, 0 were redriven; the same command goes on.")


@pytest.mark.parametrize("piped", [False, True], ids=["argument", "standard input"])
def test_edit_mends_a_message_and_archives_the_original(
    tutormax: Command, client: RedisClient, tmp_path: Path, piped: bool
) -> None:
    (letter_id,) = bury(client)
    patch = '{"name": "Zoë"}'
    done = tutormax(
        "dlq",
        "edit",
        letter_id,
        "--patch",
        "-" if piped else patch,
        "--why",
        "a typo",
        "--yes",
        given=patch.encode(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    before, after = messages(client)
    assert (after.id, after.data["name"]) == (before.id, "Zoë")
    (kept,) = archived(tmp_path)
    assert (kept.letter_id, kept.signature.who, kept.signature.why) == (
        letter_id,
        getpass.getuser(),
        "a typo",
    )


@pytest.mark.parametrize("yes", [[], ["--yes"]], ids=["said", "done"])
def test_an_edit_against_the_contract_is_refused_in_one_line(
    tutormax: Command, client: RedisClient, tmp_path: Path, yes: list[str]
) -> None:
    (letter_id,) = bury(client)
    done = tutormax("dlq", "edit", letter_id, "--patch", '{"rating": 9}', "--why", "w", *yes)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: Dead letter {letter_id} stays as it is: ")
    assert "rating: Input should be less than or equal to 5" in line
    assert (DeadLetters(client).count(), archived(tmp_path)) == (1, [])


@pytest.mark.parametrize("patch", ["", "no JSON", "[1]", '{"a": 1, "a": 2}', "\udcff"], ids=ascii)
def test_a_patch_that_is_no_json_object_is_refused(
    tutormax: Command, client: RedisClient, patch: str
) -> None:
    (letter_id,) = bury(client)
    done = tutormax("dlq", "edit", letter_id, "--patch", patch, "--why", "w", "--yes")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: Invalid value for '--patch'")


def test_discard_archives_and_removes_what_is_chosen(
    tutormax: Command, client: RedisClient, tmp_path: Path
) -> None:
    one, two, three = bury(client, 3)
    done = tutormax("dlq", "discard", "--id", one, "--id", three, "--why", "test data", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "2 discarded, each archived in the store. Dead letters that match now: 0.\n"
    assert [letter.id for letter in DeadLetters(client).iterate()] == [two]
    assert {kept.letter_id for kept in archived(tmp_path)} == {one, three}
    report = json.loads(tutormax("dlq", "discard", "--why", "rest", "--yes", "--json").stdout)
    assert (report["discarded"], report["left"]) == (1, 0)


def test_a_store_that_is_away_discards_nothing(
    tutormax: Command, client: RedisClient, tmp_path: Path
) -> None:
    bury(client, 2)
    with (
        Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store,
        store.engine.execution_options(purpose=Purpose.ALONE).begin(),
    ):
        done = tutormax("dlq", "discard", "--why", "w", "--yes", TUTORMAX_STORE_TIMEOUT_SECONDS="0.1")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "database is locked" in line
    assert line.endswith("Before that, 0 were discarded; the same command goes on.")
    assert DeadLetters(client).count() == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["redrive", "--yes", "--dry-run"],
        ["redrive", "--limit", "0"],
        ["redrive", "--rate", "0"],
        ["redrive", "--rate", "nan"],
        ["redrive", "--rate", "inf", "--yes"],
        ["redrive", "--id", "99999999999999999999-0", "--yes"],
        ["redrive", "--max-redrives", "0"],
        ["discard", "--yes"],
        ["discard", "--why", " ", "--yes"],
        ["discard", "--why", "caf\udce9", "--yes"],
        ["edit", "1-0", "--patch", "{}"],
        ["edit", "1-0", "--patch", "{}", "--why", "caf\udce9", "--yes"],
        ["edit", "five", "--patch", "{}", "--why", "w"],
    ],
    ids=lambda arguments: ascii(" ".join(arguments)),
)
def test_what_cannot_be_is_refused_before_anything_happens(
    tutormax: Command, client: RedisClient, arguments: list[str]
) -> None:
    bury(client)
    done = tutormax("dlq", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert DeadLetters(client).count() == 1
