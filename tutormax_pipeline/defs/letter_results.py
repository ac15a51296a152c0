"""What a run that moved dead letters says: its result as a table, and one line of log."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from queue_core.letter_reports import DiscardReport, RedriveReport
from tutormax_pipeline.mending import MendReport

Report = RedriveReport | DiscardReport | MendReport
Row = dict[str, str | int | float | bool | None]

COLUMNS = [
    dg.TableColumn("outcome", "string", description="What became of them, or would."),
    dg.TableColumn("letters", "int"),
    dg.TableColumn("meaning", "string"),
]
#: What is done with a letter by each kind of run, and what it means.
_DONE = {
    RedriveReport: ("redriven", "back in their queues under their own message ids"),
    MendReport: ("mended", "edited, back in their queues; the originals are archived"),
    DiscardReport: ("discarded", "archived in the store, and removed"),
}
_LEFT_OUT = {
    "gone": "somebody else moved them first",
    "capped": "redriven max_redrives times before: left as they are",
    "unredrivable": "without a message that could be published again: left as they are; discard them",
    "refused": "mended so, they would still fail: left as they are; see the refusals",
}


def moved(report: Report) -> int:
    """Letters that were redriven, mended or discarded, or would be."""
    return int(getattr(report, _DONE[type(report)][0]))


def result_rows(report: Report) -> list[Row]:
    """One row for each outcome that there can be."""
    return [{"outcome": name, "letters": count, "meaning": why} for name, count, why in _outcomes(report)]


def result_metadata(report: Report) -> Mapping[str, Any]:
    """The result for people and for plots."""
    metadata: dict[str, Any] = {
        "result": dg.MetadataValue.table(
            [dg.TableRecord(row) for row in result_rows(report)], schema=dg.TableSchema(columns=COLUMNS)
        ),
        "dry_run": report.dry_run,
        **{name: count for name, count, _ in _outcomes(report)},
    }
    if isinstance(report, MendReport) and report.refusals:
        metadata["refusals"] = dg.MetadataValue.json(report.refusals)
    return metadata


def result_line(report: Report) -> str:
    """One line of log; of a dry run, loudly that it was one."""
    done, *others = _outcomes(report)
    counts = [f"{count:,} {name}" for name, count, _ in others if count and name != "left"]
    told = "; ".join([", ".join(counts)] if counts else [])
    line = (
        f"{done[1]:,} {done[0]}{f' ({told})' if told else ''}. Dead letters that match now: {report.left:,}."
    )
    if report.dry_run:
        return f"DRY RUN, NOTHING WAS CHANGED. Would be: {line} Set dry_run: false to do it."
    if report.stopped:
        return f"Stopped as asked: {line} The same launch goes on."
    return line


def _outcomes(report: Report) -> Iterator[tuple[str, int, str]]:
    name, meaning = _DONE[type(report)]
    yield name, moved(report), f"would be {meaning}" if report.dry_run else meaning
    for outcome, why in _LEFT_OUT.items():
        if hasattr(report, outcome):
            yield outcome, getattr(report, outcome), why
    full: Mapping[str, int] = getattr(report, "full", {})
    if not isinstance(report, DiscardReport):
        yield "full", sum(full.values()), _room(sorted(full))
    yield "left", report.left, "dead letters that match now, new ones included"


def _room(channels: Sequence[str]) -> str:
    if not channels:
        return "their queue has no room: left as they are"
    jobs = ", ".join(f"drain_{name}" for name in channels)
    return f"their queue has no room: left as they are; launch {jobs}, then this again"
