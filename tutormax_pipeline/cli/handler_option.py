"""Handlers as options of a command: ``module:function``, for one channel or for all of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from queue_core import Channel, QueueChannels
from queue_core.errors import ConfigurationError

Function = Callable[..., Any]


def assigned(handlers: Sequence[str], channels: Sequence[Channel]) -> dict[Channel, Function]:
    """Which channel has which handler.

    Args:
        handlers: ``module:function`` for all channels, or ``channel=module:function`` for one.
        channels: all of them, where they are named; else those that handlers name, or every channel.

    Raises:
        ConfigurationError: a handler cannot be found or imported, or is given for a channel twice.
    """
    found: dict[Channel, Function] = {}
    for given in handlers:
        name, equals, place = given.rpartition("=")
        for channel in [QueueChannels.find(name)] if equals else channels or QueueChannels.all():
            if channel in found:
                raise ConfigurationError(f"--handler {given}: {channel} has a handler already.")
            found[channel] = load(place)
    return found


def load(place: str) -> Function:
    """Import ``module:function``; the current folder is looked into first.

    Raises:
        ConfigurationError: there is no such thing, or importing it fails.
    """
    module_name, _, attributes = place.partition(":")
    if not module_name or not attributes:
        raise ConfigurationError(f"--handler {place}: write module:function, as in my_package.tasks:store.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        words = " ".join(str(error).split())
        raise ConfigurationError(
            f"--handler {place}: {module_name} cannot be imported ({type(error).__name__}: {words})."
        ) from error
    try:
        function = reduce(getattr, attributes.split("."), module)
    except AttributeError:
        raise ConfigurationError(f"--handler {place}: {module_name} has no {attributes}.") from None
    if not callable(function):
        raise ConfigurationError(f"--handler {place}: is not a function.")
    return function
