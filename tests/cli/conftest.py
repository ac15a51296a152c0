"""The command as a person runs it: a process of its own, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(valkey: EmbeddedServer, client: RedisClient, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "REDIS_URL": valkey.url,
        "REDIS_KEY_PREFIX": client.settings.key_prefix,
        "TUTORMAX_HOME": str(tmp_path / "home"),
        "COLUMNS": "80",
    }


@pytest.fixture
def tutormax(environment: dict[str, str], tmp_path: Path) -> Command:
    """Run ``tutormax`` with arguments; keywords change the environment."""

    def run(*arguments: str, given: bytes = b"", **changes: str) -> subprocess.CompletedProcess[str]:
        code = "from tutormax_pipeline.cli import main; main(prog_name='tutormax')"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            input=given,
            env={**environment, **changes},
            cwd=tmp_path,
            capture_output=True,
            timeout=90,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return run
