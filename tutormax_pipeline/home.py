"""The folder ``TUTORMAX_HOME``: made private, and Dagster's part of it set up."""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from queue_core.errors import ConfigurationError
from tutormax_pipeline.settings import PipelineSettings

#: The limit of runs of each lane in ``dagster.yaml``.
_LANE_LIMIT = re.compile(r"(applyLimitPerUniqueValue: true\n +limit: )\d+")


def prepare_home(settings: PipelineSettings) -> Path:
    """Make the folder, readable by its owner alone.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    home = settings.home.absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)  # another process may be probing too
    except OSError as error:
        raise ConfigurationError(
            f"TUTORMAX_HOME: {home} cannot be written ({error.strerror}). Name a folder that can be."
        ) from None
    return home


def prepare_dagster_home(settings: PipelineSettings) -> Path:
    """Make DAGSTER_HOME, with its ``dagster.yaml`` unless there is one of the person's own.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    prepare_home(settings)
    folder = settings.dagster_home
    template = resources.files("tutormax_pipeline") / "dagster.yaml"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        instance = folder / "dagster.yaml"
        wanted = _with_lane_limit(template.read_text(), settings.drain_max_parallel_runs)
        with alone_in(folder):
            if not instance.exists() or _is_untouched(instance.read_text(), wanted):
                _replace(instance, wanted)
    except OSError as error:
        raise ConfigurationError(
            f"TUTORMAX_HOME: {folder} cannot be written ({error.strerror}). Name another folder."
        ) from None
    return folder


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """While inside, no other process is that is to be alone in this folder too; waits for its turn."""
    try:
        # Not the lock of 'tutormax up', which is held for as long as that runs.
        lock = os.open(folder / ".preparing", os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        yield  # what cannot be written is not prepared by anybody
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _replace(file: Path, text: str) -> None:
    # In one step: a Dagster that starts meanwhile would take half a file for all its settings.
    written, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(written, "w") as out:
            out.write(text)
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _with_lane_limit(text: str, runs: int) -> str:
    # Dagster takes a number here and no variable of the environment.
    return _LANE_LIMIT.sub(rf"\g<1>{runs}", text)


def _is_untouched(text: str, wanted: str) -> bool:
    return _with_lane_limit(text, 1) == _with_lane_limit(wanted, 1)
