"""Who gives a command."""

from __future__ import annotations

import getpass
import os


def login_name() -> str:
    """The user's name, as text that can be kept; the number of the user where the system knows no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
    # The environment may hold any bytes.
    return os.fsencode(name).decode(errors="backslashreplace")
