"""Run, in a process of its own, on a copy of the code to which a channel was added.

Reads the guide's commands, one a line, runs them as ``tutormax`` does, and prints as JSON what each said and
what the code location then has.
"""

from __future__ import annotations

import json
import os
import shlex
import sys

from click.testing import CliRunner

import tutormax_pipeline
from queue_core import QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tutormax_pipeline.cli import main


def run(line: str) -> list[object]:
    """A command, and what a pipe gives it: ``echo 'TEXT' | tutormax ARGUMENTS``."""
    given, _, command = line.rpartition(" | ")
    program, *arguments = shlex.split(command)
    assert program == "tutormax"
    text = shlex.split(given)[1] + "\n" if given else ""
    done = CliRunner().invoke(main, arguments, text, catch_exceptions=False)
    return [line, done.exit_code, done.stdout, done.stderr]


def code_location() -> dict[str, object]:
    """Names in the code location."""
    from tutormax_pipeline.definitions import defs  # noqa: PLC0415 - loaded when a command has

    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    (drain_all,) = [job for job in repository.get_all_jobs() if job.name == "drain_all"]
    return {
        "assets": [key.to_user_string() for key in graph.get_all_asset_keys()],
        "checks": [f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys],
        "jobs": [job.name for job in repository.get_all_jobs()],
        "sensors": [sensor.name for sensor in repository.sensor_defs],
        "drain_all": [key.to_user_string() for key in drain_all.asset_layer.executable_asset_keys],
    }


if __name__ == "__main__":
    done = [run(line) for line in sys.stdin.read().splitlines()]
    with RedisClient() as client:
        seen = snapshot(client, QueueChannels.find("payments"))
    found = {
        "commands": done,
        "source": os.path.dirname(tutormax_pipeline.__file__),  # noqa: PTH120
        "location": code_location(),
        "monitor": [seen.entries_added, seen.waiting, seen.pending, seen.dead],
    }
    print(json.dumps(found))
