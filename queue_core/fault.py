"""What is said of an exception: its type and where it was raised, never its words.

An exception's text may quote the message, and so a person; this is kept, logged and shown.
"""

from __future__ import annotations

import traceback
from pathlib import Path


def describe(error: BaseException, *, within: int = 0) -> str:
    """One line, ``KeyError in load, line 12 of tasks.py``.

    Args:
        error: as it was caught.
        within: frames between the ``except`` and the code that is asked about; where the error was
            raised deeper than in that code's own frame, that frame is named too.
    """
    frames = traceback.extract_tb(error.__traceback__)
    words = type(error).__name__
    if not frames:
        return words
    words += f" in {_place(frames[-1])}"
    if within and len(frames) > within + 1:
        words += f" (called by {_place(frames[within])})"
    return words


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.name}, line {frame.lineno} of {Path(frame.filename).name}"
