"""Draining in a process of its own, so that its time and memory are those of draining alone."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

_PROJECT = Path(__file__).parent.parent
_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Job:
    """What the process is to drain.

    Attributes:
        url: address of the server.
        key_prefix: first part of the stream's key.
        store: path of the SQLite file, or address of a database.
        max_messages: ends after this many; None is no limit.
        linger_seconds: once empty, waits this long for another message.
        begin_at: instant at which it begins, by the system's clock, so that several begin together.
    """

    url: str
    key_prefix: str
    store: str
    max_messages: int | None = None
    linger_seconds: float = 0.0
    begin_at: float = 0.0

    @property
    def address(self) -> str:
        """SQLAlchemy address of the store."""
        return self.store if "://" in self.store else f"sqlite:///{self.store}"

    def start(self, module: str) -> subprocess.Popen[bytes]:
        """Start ``python -m module`` on this job."""
        return subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(asdict(self))], cwd=_PROJECT, stdout=subprocess.PIPE
        )

    def run(self, module: str) -> Drained:
        """Run ``python -m module`` on this job and return what it measured."""
        return Drained.of(self.start(module))

    @classmethod
    def given(cls) -> Self:
        """The job that this process was started for."""
        return cls(**json.loads(sys.argv[1]))


@dataclass(slots=True)
class Drained:
    """What a process measured of its drain.

    Attributes:
        seconds: from the first read to the last acknowledgement; neither start nor imports.
        cpu_seconds: processor time of the same span, in all threads.
        peak_rss_bytes: most memory the process ever held, imports included.
        rows: rows in the table afterwards.
        latency_ms: for each message in order, from the publisher's clock to its commit; where asked for.
        reported_ms: latency as the drain itself reports it, percent -> ms; where asked for.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_rss_bytes: int = 0
    rows: int = 0
    latency_ms: list[float] = field(default_factory=list)
    reported_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, process: subprocess.Popen[bytes]) -> Self:
        """Wait for a process and read what it hands back."""
        try:
            output, _ = process.communicate(timeout=_TIMEOUT_SECONDS)
        finally:
            process.kill()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return cls(**json.loads(output))

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measure what happens inside the block."""
        began, cpu_began = time.perf_counter(), time.process_time()
        yield
        self.seconds = time.perf_counter() - began
        self.cpu_seconds = time.process_time() - cpu_began
        self.peak_rss_bytes = _peak_rss_bytes()

    def hand_back(self) -> None:
        """Give the result to the process that asked for it."""
        sys.stdout.write(json.dumps(asdict(self)))


def _peak_rss_bytes() -> int:
    # Linux lets ru_maxrss of a new process begin at the peak of the one that started it; VmHWM does not.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
