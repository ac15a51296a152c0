"""A server started from a configuration file as a guide or deploy/ gives it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import server_binary, wait_until
from tests.queue.conftest import free_port


@contextmanager
def started(kind: str, configuration: Path, folder: Path, *options: str) -> Iterator[str]:
    """Give its URL; only port, folder and log are not as the file says."""
    port = free_port()
    log = folder / "server.log"
    own = ["--port", str(port), "--dir", str(folder), "--logfile", str(log), "--daemonize", "no"]
    # What it says before it opens its log goes there too.
    with log.open("ab") as said:
        process = subprocess.Popen(
            [server_binary(kind), configuration, *own, *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(port), 30, "the server")
        assert process.poll() is None, log.read_text()
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with redis.Redis(port=port, socket_timeout=5, protocol=2, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False
