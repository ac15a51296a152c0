"""The report on the dead letters, in markdown: what is wrong, an example, and what to launch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from queue_core import QueueChannels
from queue_core.letter_groups import LetterGroup
from queue_core.outcomes import Reason
from tutormax_pipeline.stock import EXAMPLES, Stock

#: Names of the ops that the launchpad's YAML is for.
REDRIVE_OP = "redrive"
DISCARD_OP = "discard"

_ADVICE = {
    Reason.MALFORMED: "No reader can read it. Correct the program that published it, have it publish the "
    "record again, and discard these.",
    Reason.CHECKSUM_MISMATCH: "The data changed on its way, or its producer computes the checksum otherwise. "
    "Where the data is right, redrive with `merge_patch: {}`, which makes the checksum anew.",
    Reason.TOO_LARGE: "Publish it smaller and discard these, or raise `REDIS_MAX_MESSAGE_SIZE_BYTES` and "
    "redrive.",
    Reason.INVALID: "As it is, it would fail again. Mend it on the way with `merge_patch`, or correct the "
    "producer, have it publish the record again, and discard these.",
    Reason.REJECTED: "Only the database refused it. Correct what the error names, then redrive.",
    Reason.EXPIRED: "Nobody read it in time. Redriven, it has its time to live anew.",
    Reason.RETRIES_EXHAUSTED: "It failed again and again. Once the cause is mended, redrive.",
    Reason.CRASH_LOOP: "Its process ended each time. Look at one with `tutormax dlq show` first.",
}
_FOREIGN = (
    "Some other program wrote them, so what they say of themselves is not shown. Look at one with "
    "`tutormax dlq show`. The YAML is for the example alone."
)
_DO_IT = "dry_run: false does it"
_REDRIVE_REMARKS = (
    _DO_IT,
    'to mend each on the way: merge_patch: {"field": "value"}, with who: and why:',
)
_DISCARD_REMARK = f"{_DO_IT}; who and why are kept with the originals"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$:@-])")
_CONTROLS = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]|[\u2028\u2029]")
_LONGEST_ERROR = 500


def report(stock: Stock) -> str:
    """The whole report; holds no value of any message."""
    if not stock.groups:
        return "**No dead letters.** Every message was stored, or waits to be."
    return "\n\n".join(_parts(stock))


def launchpad(op: str, chosen: Mapping[str, Any], *remarks: str) -> str:
    """What to paste into a job's launchpad.

    Args:
        op: the op's name.
        chosen: its config.
        remarks: YAML comments below it.
    """
    lines = [f"      {name}: {_scalar(value)}" for name, value in chosen.items()]
    return "\n".join(["ops:", f"  {op}:", "    config:", *lines, *(f"      # {one}" for one in remarks)])


def _scalar(value: Any) -> str:
    # Written as JSON, which YAML reads alike, so that no text can be taken for anything else; but for
    # characters that YAML refuses or takes for the end of a line.
    text = orjson.dumps(value).decode()
    return "".join(one if one.isprintable() else f"\\U{ord(one):08x}" for one in text)


def _parts(stock: Stock) -> Iterator[str]:
    more = len(stock.groups) - EXAMPLES
    groups = f"{len(stock.groups):,} groups" if len(stock.groups) > 1 else "1 group"
    yield f"**Dead letters: {stock.letters:,}** in {groups}, as of {_moment(stock.taken_at)}."
    yield (
        "To put a group back, paste its YAML into the launchpad of `redrive_dead_letters`; to throw it away, "
        "into that of `discard_dead_letters`. As pasted it is a **dry run**, which changes nothing and says "
        "what it would do."
    )
    for number, group in enumerate(stock.groups[:EXAMPLES], 1):
        yield from _section(number, group, stock)
    if more > 0:
        yield f"And {more:,} smaller groups: see the table `dead_letters`, or `tutormax dlq groups`."


def _section(number: int, group: LetterGroup, stock: Stock) -> Iterator[str]:
    ours = is_ours(group)
    yield f"## {number}. {group.count:,} x {f'{group.channel}, {group.reason}' if ours else 'not of ours'}"
    yield (escape(fault_shown(group)) or "No error is given.") if ours else _FOREIGN
    yield "\n".join(
        [
            "| | |",
            "|---|---|",
            f"| oldest | {_moment(group.oldest)} |",
            f"| newest | {_moment(group.newest)} |",
            f"| redriven before | {_redrives(group.most_redrives)} |",
            f"| example | `{group.example_id}` |",
        ]
    )
    if ours:
        yield _ADVICE[Reason(group.reason)]
    example = stock.examples.get(group.example_id)
    if example is not None:
        yield f"Its shape, with every value masked:\n\n```json\n{example}\n```"
    chosen = chosen_by(group)
    if group.redrivable:
        yield _yaml("Redrive", launchpad(REDRIVE_OP, {**chosen, "dry_run": True}, *_REDRIVE_REMARKS))
    signed = {**chosen, "who": "", "why": "", "dry_run": True}
    yield _yaml("Discard", launchpad(DISCARD_OP, signed, _DISCARD_REMARK))


def is_ours(group: LetterGroup) -> bool:
    """Whether this library wrote the letters: only then is it known that their errors hold no value."""
    return group.reason in set(Reason) and any(group.channel == one.name for one in QueueChannels.all())


def fault_shown(group: LetterGroup) -> str:
    """What is wrong with the letters of a group of ours."""
    return f"{group.field}: {group.error}" if group.field else group.error


def chosen_by(group: LetterGroup) -> dict[str, Any]:
    """The config that means the letters of a group and no others; of one not of ours, its example alone."""
    if not is_ours(group):
        return {"ids": [group.example_id]}
    return {"channel": group.channel, "reason": group.reason, "fault": group.fault}


def escape(text: str) -> str:
    """Text of somebody's for markdown, on one line, which must not obey it."""
    short = text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}..."
    return _MARKDOWN.sub(r"\\\1", _CONTROLS.sub(" ", short))


def _yaml(title: str, text: str) -> str:
    return f"{title}:\n\n```yaml\n{text}\n```"


def _redrives(most: int) -> str:
    return f"at most {most:,} times" if most else "never"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
