"""The machine that a run was measured on: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

_SYNCS = 50
_PAGE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures depend on.

    Attributes:
        cores: processors that this process may use.
        load_average: of the minute before the run; above 0 others were at work.
        python: its version.
        sqlite: version of the SQLite library.
        sync_ms: median of writing a page to the store's disk and waiting until it is there.
    """

    cores: int
    load_average: float
    python: str
    sqlite: str
    sync_ms: float

    @classmethod
    def measured(cls, folder: Path) -> Machine:
        """This machine, and the disk on which ``folder`` is."""
        return cls(
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            load_average=round(os.getloadavg()[0], 2),
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            sync_ms=round(_sync_ms(folder / "sync"), 3),
        )

    def __str__(self) -> str:
        return (
            f"{self.cores} cores, load average {self.load_average:.2f} at the start, Python {self.python}, "
            f"SQLite {self.sqlite}, {self.sync_ms:.2f} ms to sync a page to disk"
        )


def _sync_ms(path: Path) -> float:
    durations = []
    with path.open("wb") as file:
        for _ in range(_SYNCS):
            started = time.perf_counter()
            file.write(bytes(_PAGE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            durations.append(time.perf_counter() - started)
    path.unlink()
    return statistics.median(durations) * 1000
