"""The order that guards rows: by envelope timestamp, then by entry id."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, or_

from queue_core.channels import Channel
from tutormax_pipeline.store.entry_order import is_after
from tutormax_pipeline.store.tables import record_table


def updating_older_rows(statement: Any, channel: Channel) -> Any:
    """Let an INSERT into a channel's table replace the row that is there, where that is an older one."""
    new, old = statement.excluded, record_table(channel).c
    return statement.on_conflict_do_update(
        index_elements=[channel.id_field],
        set_={column.name: new[column.name] for column in old if column.name != channel.id_field},
        where=or_(
            new.published_at > old.published_at,
            and_(new.published_at == old.published_at, is_after(new.entry_id, old.entry_id)),
        ),
    )
