"""What a materialization says: numbers for plots, a schema for readers. Never a value of a message."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy import Table

from queue_core.channels import Channel
from queue_core.outcomes import Outcome
from tutormax_pipeline.drain import DrainReport
from tutormax_pipeline.store.tables import record_table

#: Ids of lost entries that the metadata and the log name.
_IDS_SHOWN = 100
_IDS_LOGGED = 10


def drain_metadata(report: DrainReport, rows: int) -> Mapping[str, Any]:
    """Metadata of a drain's materialization.

    Args:
        report: what the drain did.
        rows: rows in the table afterwards.
    """
    metadata: dict[str, Any] = {
        "dagster/row_count": rows,
        **{str(outcome): report.outcomes[outcome] for outcome in Outcome},
        "settled_before": report.repeated,
        "to_be_retried": report.retried,
        "messages_per_second": round(report.messages_per_second, 1),
        "lag_before": report.before.waiting,
        "lag_after": report.after.waiting,
        "pending_after": report.after.pending,
        "seconds": round(report.seconds, 3),
        "batches": report.batches,
    }
    for percent in (50, 95):
        latency_ms = report.latency.percentile_ms(percent)
        if latency_ms is not None:
            metadata[f"publish_to_stored_p{percent}_ms"] = round(latency_ms, 1)
    if report.latency.max_ms:
        metadata["publish_to_stored_max_ms"] = round(report.latency.max_ms, 1)
    if report.outages:
        metadata["outages_waited_out"] = len(report.outages)
        metadata["outage_seconds"] = round(sum(report.outages), 1)
    if report.reasons:
        lines = "\n".join(f"| {reason} | {count} |" for reason, count in sorted(report.reasons.items()))
        metadata["dead_letters_by_reason"] = dg.MetadataValue.md(f"| reason | letters |\n|---|---|\n{lines}")
    if report.lost:
        metadata["lost_entries"] = dg.MetadataValue.json(report.lost[:_IDS_SHOWN])
    return metadata


def drain_summary(report: DrainReport) -> str:
    """One line of log for a drain."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.outcomes.items()))
    ending = "Stopped as asked" if report.stopped else "Done"
    left = f"{report.after.waiting} wait, {report.after.pending} pending"
    return f"{ending}: {counts or 'nothing to do'}; {report.repeated} settled before; {left}."


def loss_warning(report: DrainReport) -> str:
    """What to say, and to do, when entries were deleted before they were processed."""
    more = ", ..." if len(report.lost) > _IDS_LOGGED else ""
    return (
        f"{len(report.lost)} messages were lost: somebody deleted their entries from the stream before they "
        f"were processed ({', '.join(report.lost[:_IDS_LOGGED])}{more}). The ledger has them as lost. "
        "Look for a program that trims or deletes (XTRIM, XDEL, XADD with MAXLEN), and have them published "
        "again."
    )


def column_schema(channel: Channel) -> dg.TableSchema:
    """The columns of a channel's table, with their meaning."""
    return table_schema(record_table(channel))


def table_schema(table: Table) -> dg.TableSchema:
    """The columns of a table, with their meaning."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=bool(column.primary_key)
                ),
            )
            for column in table.columns
        ]
    )
