"""The job `trace_message`: what became of one message, as a table in its run's metadata."""

from collections.abc import Iterable

import dagster as dg
from pydantic import Field

from queue_core import QueueError
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.store import StoreError
from tutormax_pipeline.story import Happening, nobody_knows, standing, tell
from tutormax_pipeline.trace import MOST_ENTRIES, MessageTrace, trace

Row = dict[str, str | None]


class TraceConfig(dg.Config):
    """Which message."""

    message_id: str = Field(
        description="Id of a message, of an entry in a stream (`1762549200000-0`), or of a dead letter."
    )
    most_entries: int = Field(
        default=MOST_ENTRIES,
        ge=0,
        description="Of each stream, search so many of the newest entries; the ledger and the dead letters "
        "are searched whole.",
    )


@dg.op(
    name="trace",
    description="Tell everything that happened to one message, in order. Tells nothing of what is in it, "
    "and names nobody who worked on it: `tutormax trace` on a terminal does.",
    out=dg.Out(list, description="One row for each thing that happened."),
    tags={"kind": "redis"},
)
def trace_op(
    context: dg.OpExecutionContext, config: TraceConfig, queue: QueueResource, store: StoreResource
) -> list[Row]:
    """Returns message, when, what, details and run of each thing that happened."""
    try:
        with queue.connect() as client, store.open() as tables:
            found = trace(client, tables, config.message_id, most_entries=config.most_entries)
    except (QueueError, StoreError) as error:
        raise dg.Failure(description=str(error)) from error
    if not found.messages:
        # The message is as unknown at the next try.
        raise dg.Failure(description=nobody_knows(found, further="most_entries"), allow_retries=False)
    rows = [row for message in found.messages for row in _rows(message)]
    context.add_output_metadata(
        {
            "standing": "; ".join(f"{_name(one)}: {standing(one)}" for one in found.messages),
            "story": dg.MetadataValue.table(
                [dg.TableRecord(row) for row in rows], schema=dg.TableSchema(columns=_COLUMNS)
            ),
            "runs": dg.MetadataValue.md(_links(rows) or "No run has settled it yet."),
        }
    )
    return rows


@dg.job(
    description="What became of a message: published, delivered, tried, stored, duplicate or dead letter, "
    "by which run, and which row it made.\n\nUse it when somebody asks for one message. Give its id, its "
    "entry's or its dead letter's in the launchpad; the answer is the table `story` in the run's output. "
    "Changes nothing.",
    tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS)},
    executor_def=dg.in_process_executor,
)
def trace_message() -> None:
    """One op."""
    trace_op()


_COLUMNS = [
    dg.TableColumn("message", "string", description="Its id."),
    dg.TableColumn("at", "string", description="UTC; empty of what is so now."),
    dg.TableColumn("what", "string"),
    dg.TableColumn("details", "string"),
    dg.TableColumn("run", "string", description="The run that did it."),
]


def _name(message: MessageTrace) -> str:
    return message.message_id or "a message without a readable id"


def _rows(message: MessageTrace) -> Iterable[Row]:
    for one in tell(message):
        yield _row(_name(message), one)


def _row(name: str, one: Happening) -> Row:
    return {
        "message": name,
        "at": None if one.at is None else one.at.isoformat(" ", "milliseconds"),
        "what": one.what,
        "details": "; ".join(one.details),
        "run": one.run_id,
    }


def _links(rows: Iterable[Row]) -> str:
    runs = dict.fromkeys(row["run"] for row in rows if row["run"] is not None)
    return "\n".join(f"- [{run}](/runs/{run})" for run in runs)
