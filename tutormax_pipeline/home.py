"""The folder ``TUTORMAX_HOME``: made private, and Dagster's part of it set up."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from queue_core.errors import ConfigurationError
from tutormax_pipeline.settings import PipelineSettings


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
        probe.unlink()
    except OSError as error:
        raise ConfigurationError(
            f"TUTORMAX_HOME: {home} cannot be written ({error.strerror}). Name a folder that can be."
        ) from None
    return home


def prepare_dagster_home(settings: PipelineSettings) -> Path:
    """Make DAGSTER_HOME, with its ``dagster.yaml`` unless there is one.

    Raises:
        ConfigurationError: it cannot be made or written.
    """
    prepare_home(settings)
    folder = settings.dagster_home
    template = resources.files("tutormax_pipeline") / "dagster.yaml"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        instance = folder / "dagster.yaml"
        if not instance.exists():
            instance.write_text(template.read_text())
    except OSError as error:
        raise ConfigurationError(
            f"TUTORMAX_HOME: {folder} cannot be written ({error.strerror}). Name another folder."
        ) from None
    return folder
