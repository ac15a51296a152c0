"""The disks under the folders of this machine: whether there is room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.settings import PipelineSettings

#: Free room below which a burst, or a rewrite of the append-only file, may fill the disk.
LEAST_FREE_BYTES = 1_073_741_824


def findings(settings: PipelineSettings, *, least_free_bytes: int = LEAST_FREE_BYTES) -> Iterator[Finding]:
    """Everything that is wrong with the disks.

    Args:
        settings: say where the folders are.
        least_free_bytes: less free room than this is a finding, a tenth of it an error.
    """
    seen: set[int] = set()
    home = settings.home.absolute()
    for folder in (home, settings.redis_folder, settings.dagster_home):
        if not folder.is_dir() or folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        yield from _room(folder, least_free_bytes)
    if home.is_dir() and home.stat().st_mode & 0o077:
        yield Finding(
            "home_permissions",
            Severity.WARNING,
            f"Others on this machine can look into {home}, which holds personal data.",
            f"chmod 700 '{home}'",
        )


def _room(folder: Path, least_free_bytes: int) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    if free < least_free_bytes:
        yield Finding(
            "disk_room",
            Severity.ERROR if free < least_free_bytes / 10 else Severity.WARNING,
            f"The disk of {folder} has {free / 1_048_576:,.0f} MiB left: when it is full, nothing is stored.",
            "Make room there, or move TUTORMAX_HOME. The job maintain_queues prunes the ledger.",
        )
