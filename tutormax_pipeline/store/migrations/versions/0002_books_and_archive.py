"""Books that stay exact when ledger rows are pruned, and the archive of dead letters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "ledger_totals",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("entries", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "book_adjustments",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "stream_sightings",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("entries_added", sa.BigInteger, nullable=False),
        sa.Column("last_entry_id", sa.Text, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
    )
    op.create_table(
        "letter_archive",
        sa.Column("letter_id", sa.Text, primary_key=True),
        sa.Column("action", sa.Text, primary_key=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("errors", _JSON, nullable=False),
        sa.Column("body", sa.LargeBinary),
        sa.Column("fields", _JSON, nullable=False),
        sa.Column("failed_at", _MOMENT, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("archived_at", _MOMENT, nullable=False),
    )
