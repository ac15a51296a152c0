"""Dagster on this machine: UI, daemon and code server as one child process, its log in a file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from queue_core.errors import ConfigurationError, QueueError
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.local_runs import end_runs, fail_left_behind
from tutormax_pipeline.settings import PipelineSettings

_WORKSPACE = """\
load_from:
  - python_module:
      module_name: tutormax_pipeline.definitions
      location_name: tutormax
"""
#: How long Dagster may take to answer, and to end, on a slow machine.
_START_SECONDS = 110
_STOP_SECONDS = 60


class DagsterStoppedError(QueueError):
    """Dagster ended, or did not start; names its log."""


class LocalDagster:
    """``dagster dev`` on 127.0.0.1, for as long as the ``with`` block lasts.

    Args:
        settings: say where its home is.
        port: TCP port of the UI.
        stop: asked while waiting for it to start; True ends the waiting.
        lock: descriptor of a locked file; the lock lasts as long as Dagster does, should we be killed.
    """

    def __init__(self, settings: PipelineSettings, port: int, lock: int, stop: Callable[[], bool]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._lock, self._stop_asked = lock, stop
        self._settings, self._port = settings, port
        self.log = settings.home.absolute() / "logs" / "dagster.log"

    def __enter__(self) -> Self:
        """Start it, and wait until the UI answers.

        Raises:
            DagsterStoppedError: it ended, or did not answer in time.
        """
        home = prepare_dagster_home(self._settings)
        fail_left_behind(home)
        workspace = home / "workspace.yaml"
        workspace.write_text(_WORKSPACE)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace)]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        environment = {
            **os.environ,
            "DAGSTER_HOME": str(home),
            "TUTORMAX_HOME": str(self._settings.home.absolute()),
        }
        with self.log.open("ab") as log:
            os.chmod(self.log, 0o600)  # noqa: PTH101 - the log is for its owner alone
            # A session of its own: Ctrl-C in the terminal reaches us, and we end it in order.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed command
                command,
                env=environment,
                pass_fds=[self._lock],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """Process id of ``dagster dev``."""
        return self._process.pid

    def check(self) -> None:
        """Make sure that it runs.

        Raises:
            DagsterStoppedError: it has ended.
        """
        if self._process.poll() is not None:
            raise DagsterStoppedError(f"Dagster ended by itself. Its log tells why: {self.log}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._stop_asked():
                return
            self.check()
            try:
                with urlopen(f"{self.url}/server_info", timeout=2) as answer:  # noqa: S310 - our own address
                    if answer.status == 200:
                        return
            except (URLError, TimeoutError, ConnectionError):
                time.sleep(0.1)
        raise DagsterStoppedError(
            f"Dagster did not answer within {_START_SECONDS} s. See its log: {self.log}"
        )

    def _stop(self) -> None:
        if self._process.poll() is None:
            with suppress(OSError):  # a Dagster that no longer answers cannot be asked
                end_runs(self.url)
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def check_port_is_free(port: int) -> None:
    """Make sure that the UI can have its port, before anything else is started.

    Raises:
        ConfigurationError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} on 127.0.0.1 cannot be had ({error.strerror}). "
                "Give another: tutormax up --port 3001"
            ) from None
