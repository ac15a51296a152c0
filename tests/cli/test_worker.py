"""``tutormax worker``: handlers of one's own from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import orjson
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tests.cli.conftest import Command
from tests.conftest import wait_until
from tests.instance import COMMAND

TUTORS = QueueChannels.TUTORS


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, under a name that no other test imports."""
    name = f"tasks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        "def note(data):\n"
        "    with open('noted', 'a') as file:\n"
        "        print(data['tutor_id'], file=file)\n"
        "    return True\n"
        "def refuse(data): return False\n"
        "def three(a, b, c): return True\n"
        "number = 3\n"
    )
    (tmp_path / f"{name}_broken.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(count)])


def test_once_works_on_what_is_there_and_tells_what_was_done(
    tutormax: Command, publisher: MessagePublisher, tasks: str, tmp_path: Path
) -> None:
    publish(publisher, 3)
    done = tutormax("worker", "--once", "--json", "--handler", f"tutors={tasks}:note")
    assert done.returncode == 0
    seen = orjson.loads(done.stdout)
    assert list(seen["channels"]) == ["tutors"]
    assert (seen["total"]["processed"], seen["total"]["failed"]) == (3, 0)
    assert (tmp_path / "noted").read_text() == "T0\nT1\nT2\n"


def test_a_handler_without_a_channel_is_for_all_that_are_named_and_a_failure_is_in_the_exit_code(
    tutormax: Command, publisher: MessagePublisher, tasks: str
) -> None:
    publish(publisher, 1)
    done = tutormax("worker", "tutors", "sessions", "--once", "--handler", f"{tasks}:refuse")
    assert done.returncode == 1
    assert [
        line.split()[1:6:2] for line in done.stdout.splitlines() if "tutors" in line or "sess" in line
    ] == [
        ["tutors", "0", "1"],
        ["sessions", "0", "0"],
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Give a handler"),
        (["--handler", "tasks"], "write module:function"),
        (["--handler", "no_such_module:f"], "No module named 'no_such_module'"),
        (["--handler", "TASKS_broken:f"], "No module named 'nothing_of_this_name'"),
        (["--handler", "TASKS:nothing"], "has no nothing"),
        (["--handler", "TASKS:number"], "is not a function"),
        (["--handler", "TASKS:three"], "cannot be called with"),
        (["--handler", "tutor=TASKS:note"], "no channel 'tutor'"),
        (["--handler", "tutors=TASKS:note", "--handler", "TASKS:note"], "has a handler already"),
        (["sessions", "--handler", "tutors=TASKS:note"], "not a channel of this worker"),
        (["sessions", "tutors", "--handler", "tutors=TASKS:note"], "Register a handler for sessions"),
    ],
)
def test_what_cannot_work_is_one_line(tutormax: Command, tasks: str, options: list[str], words: str) -> None:
    done = tutormax("worker", "--once", *(one.replace("TASKS", tasks) for one in options))
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("Error")]
    assert words in line
    assert "Traceback" not in done.stderr


def test_it_works_until_it_is_asked_to_end(
    client: RedisClient,
    environment: dict[str, str],
    publisher: MessagePublisher,
    tasks: str,
    tmp_path: Path,
) -> None:
    publish(publisher, 2)
    process = subprocess.Popen(
        [*COMMAND, "worker", "tutors", "--handler", f"{tasks}:note", "--json"],
        env={**os.environ, **environment},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: (tmp_path / "noted").exists() and not snapshot(client, TUTORS).pending, 60)
    process.send_signal(signal.SIGTERM)
    output, log = process.communicate(timeout=60)
    assert process.returncode == 0
    assert orjson.loads(output)["total"]["processed"] == 2
    assert b"Working on tutors" in log
