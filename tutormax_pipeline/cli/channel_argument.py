"""Channels as arguments of commands."""

from __future__ import annotations

import click

from queue_core import Channel, QueueChannels
from queue_core.errors import ConfigurationError


class ChannelType(click.ParamType[Channel]):
    """A channel's name or key."""

    name = "channel"

    def convert(
        self, value: str | Channel, param: click.Parameter | None, ctx: click.Context | None
    ) -> Channel:
        """Find it in the registry."""
        try:
            return QueueChannels.find(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
