"""A server that does not outlive the tests, however these end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_with_this_process(pid: int) -> Iterator[None]:
    """While inside, ``pid`` is terminated when this process ends, also where that is killed.

    A shell waits for the end of its input, which the system closes with this process.
    """
    guard = subprocess.Popen(  # noqa: S603 - our own words
        ["/bin/sh", "-c", f"read -r _; kill {int(pid)}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Away from the terminal: Ctrl-C there ends the tests, and the fixture ends the server.
        start_new_session=True,
    )
    try:
        yield
    finally:
        # Before the server ends, whose process id could be another's then.
        guard.kill()
        guard.communicate()
