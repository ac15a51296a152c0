"""``tutormax simulate``: what is printed is what is published."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from queue_core import RedisClient
from queue_core.testing import assert_published
from tests.cli.conftest import Command


def test_the_command_publishes_what_its_dry_run_prints(tutormax: Command, client: RedisClient) -> None:
    options = ["--start", "2026-11-02", "--limit", "150", "--bad-share", "0.3", "--duplicate-share", "0.1"]
    lines = [json.loads(line) for line in tutormax("simulate", "--dry-run", *options).stdout.splitlines()]
    assert client.redis.keys(f"{client.settings.key_prefix}:*") == []
    done = tutormax("simulate", "--speed", "0", "--json", *options, REDIS_MAX_MESSAGE_SIZE_BYTES="5000")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["published"] == Counter(line["channel"] for line in lines)
    assert found["faults"] == Counter(line["fault"] for line in lines if line["fault"])
    assert len(lines) == 150
    for line in lines:
        if line["fault"] is None:
            count = sum(line["message_id"] == other["message_id"] for other in lines)
            assert_published(
                client, line["channel"], line["data"], message_id=line["message_id"], count=count
            )


def test_the_command_sums_up_for_people(tutormax: Command) -> None:
    done = tutormax("simulate", "--speed", "0", "--limit", "5", "--sessions", "0")
    assert done.stdout == ("Done: published 5 tutors, 0 sessions, 0 feedback; of these none with a fault.\n")


@pytest.mark.parametrize(
    "options",
    [
        ["--bad-share", "1"],
        ["--speed", "-1"],
        ["--speed", "nan"],
        ["--speed", "inf"],
        ["--tutors", "nan"],
        ["--days", "0"],
        ["--limit", "0"],
        ["--start", "soon"],
        ["--start", "9999-12-31"],
    ],
)
def test_the_command_refuses_what_makes_no_sense(tutormax: Command, options: list[str]) -> None:
    done = tutormax("simulate", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_the_command_says_in_one_line_that_redis_is_away(tutormax: Command) -> None:
    done = tutormax("simulate", "--speed", "0", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Redis at 127.0.0.1:1/0 is not available")
    assert done.stdout.startswith("Broken off: published 0 tutors")
