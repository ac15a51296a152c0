"""The store that the environment names, opened in the way that is asked for."""

from __future__ import annotations

from collections.abc import Callable

from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store


def configured_store(settings: PipelineSettings, opening: Callable[..., Store] = Store.open) -> Store:
    """The store of these settings.

    Args:
        settings: say where it is and how long to wait for it.
        opening: ``Store.open`` brings its tables up to date, ``Store.open_to_read`` changes nothing, and
            ``Store`` itself does not look at them.

    Raises:
        StoreError: as ``opening`` does.
    """
    return opening(settings.store_address, timeout_seconds=settings.store_timeout_seconds)
