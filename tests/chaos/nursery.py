"""A process that has everything imported, and forks drains and publishers: each starts within milliseconds.

Reads jobs as lines of JSON, answers each with the process id of the child. A child that fails leaves its
traceback in the folder of the job.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psutil

_ROLES = ("drain", "publisher")


class Nursery:
    """The warm process, seen from the driver."""

    def __init__(self, folder: Path) -> None:
        self._crashes = folder / "crashes"
        self._crashes.mkdir()
        pipe = subprocess.PIPE
        root = str(Path(__file__).parents[2])
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
        path = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        with (folder / "programs.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.nursery"],
                cwd=folder,
                env={**environment, "PYTHONPATH": path},
                stdin=pipe,
                stdout=pipe,
                stderr=log,
                text=True,
            )

    def start(self, role: str, job: Mapping[str, Any]) -> psutil.Process:
        """Start a child that works on a job."""
        line = json.dumps({"role": role, "crashes": str(self._crashes), **job})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        return psutil.Process(int(self._process.stdout.readline()))

    def crashes(self) -> list[str]:
        """Tracebacks of the children that failed by themselves."""
        return [path.read_text() for path in sorted(self._crashes.iterdir())]

    def close(self) -> None:
        """End the warm process; children see that it is gone, and stop."""
        self._process.communicate(timeout=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    """Fork for each line until there are no more."""
    from tests.chaos import drain_process, publisher_process  # noqa: PLC0415 - only the warm process needs them

    workers = dict(zip(_ROLES, (drain_process.work, publisher_process.work), strict=True))
    # Children are not waited for: the system takes them away when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _work(workers[job["role"]], job)
        print(pid, flush=True)


def _work(worker: Callable[[Mapping[str, Any]], None], job: Mapping[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        worker(job)
    except BaseException:  # noqa: BLE001 - whatever it is, the driver is to know
        path = Path(job["crashes"]) / f"{job['role']}-{os.getpid()}.txt"
        path.write_text(traceback.format_exc())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
