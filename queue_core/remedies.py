"""What a person can do about a server that cannot work now, told from the server's own words."""

from __future__ import annotations

import re

_AT_THE_PRIMARY = "It is a replica: point REDIS_HOST or REDIS_URL at the primary."
#: Words of an answer, and what to do about it.
_REMEDIES = (
    (
        "used memory > 'maxmemory'",
        "Its memory is full: drain what waits, decide about dead letters, or raise its maxmemory.",
    ),
    ("read only replica", _AT_THE_PRIMARY),
    ("Link with MASTER is down", _AT_THE_PRIMARY),
    ("NOREPLICAS", "Too few replicas follow it: bring them back, or lower its min-replicas-to-write."),
    ("loading the dataset", "It is reading its data from disk: try again in a moment."),
    ("MISCONF", "It cannot write to its disk: make room there, its log names the error."),
)
#: What a server adds when the command was a script's.
_OF_A_SCRIPT = re.compile(r"\.? script: (?:\w+, )?on @user_script:\d+\.?$")


def remedy_for(answer: str) -> str | None:
    """What to do, in a sentence; None for words that are not a server's own."""
    return next((remedy for words, remedy in _REMEDIES if words in answer), None)


def in_short(answer: str) -> str:
    """The answer without the place in our script, and without a server's own advice."""
    if answer.startswith("MISCONF"):
        return answer.partition(". ")[0]
    short = _OF_A_SCRIPT.sub("", answer)
    return short.rstrip(".") if remedy_for(short) else short
