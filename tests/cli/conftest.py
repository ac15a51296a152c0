"""The command as a person runs it; in this process where that makes no difference."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from tests.instance import COMMAND
from tutormax_pipeline.cli import main

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]
Raw = Callable[..., bytes]


@pytest.fixture
def environment(valkey: EmbeddedServer, client: RedisClient, tmp_path: Path) -> dict[str, str]:
    return {
        "REDIS_URL": valkey.url,
        "REDIS_KEY_PREFIX": client.settings.key_prefix,
        "TUTORMAX_HOME": str(tmp_path / "home"),
        "COLUMNS": "80",
    }


@pytest.fixture
def tutormax(environment: dict[str, str]) -> Command:
    """Run ``tutormax`` in this process; keywords change the environment."""

    def run(*arguments: str, given: bytes = b"", **changes: str) -> Done:
        variables: dict[str, str | None] = {**environment, "DAGSTER_HOME": None, **changes}
        umask = os.umask(0o022)  # 'up' sets its own, for a process that is its own
        try:
            result = CliRunner().invoke(main, arguments, given, variables, catch_exceptions=False)
        finally:
            os.umask(umask)
        return Done(arguments, result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Command:
    """Run ``tutormax`` in a process of its own; keywords change the environment."""

    def run(*arguments: str, given: bytes = b"", **changes: str) -> Done:
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=given,
            env={**os.environ, **environment, **changes},
            cwd=tmp_path,
            capture_output=True,
            timeout=90,
            check=False,
        )
        return Done(arguments, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def raw(environment: dict[str, str]) -> Raw:
    """Run ``tutormax`` in this process; gives the bytes that it wrote."""

    def run(*arguments: str) -> bytes:
        result = CliRunner().invoke(main, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout_bytes

    return run
