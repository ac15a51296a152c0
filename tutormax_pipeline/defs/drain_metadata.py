"""What a materialization says: numbers for plots, a schema for readers. Never a value of a message."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from queue_core.channels import Channel
from queue_core.outcomes import Outcome
from tutormax_pipeline.drain import DrainReport
from tutormax_pipeline.store.tables import record_table


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
    if report.reasons:
        lines = "\n".join(f"| {reason} | {count} |" for reason, count in sorted(report.reasons.items()))
        metadata["dead_letters_by_reason"] = dg.MetadataValue.md(f"| reason | letters |\n|---|---|\n{lines}")
    if report.lost:
        metadata["lost_entries"] = dg.MetadataValue.json(report.lost[:100])
    return metadata


def column_schema(channel: Channel) -> dg.TableSchema:
    """The columns of a channel's table, with their meaning."""
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
            for column in record_table(channel).columns
        ]
    )
