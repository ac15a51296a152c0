"""Figures for each tutor, calculated from the other tables."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create it."""
    op.create_table(
        "tutor_performance",
        sa.Column("tutor_id", sa.Text, primary_key=True),
        sa.Column("sessions_held", sa.BigInteger, nullable=False),
        sa.Column("hours", sa.Float(53)),
        sa.Column("no_shows", sa.BigInteger, nullable=False),
        sa.Column("cancellations", sa.BigInteger, nullable=False),
        sa.Column("no_show_rate", sa.Float(53)),
        sa.Column("cancellation_rate", sa.Float(53)),
        sa.Column("rating_count", sa.BigInteger, nullable=False),
        sa.Column("rating_mean", sa.Float(53)),
        sa.Column("rating_shrunken", sa.Float(53)),
        sa.Column("sentiment_count", sa.BigInteger, nullable=False),
        sa.Column("positive_share", sa.Float(53)),
        sa.Column("neutral_share", sa.Float(53)),
        sa.Column("negative_share", sa.Float(53)),
        sa.Column("last_session_at", _MOMENT),
        sa.Column("calculated_at", _MOMENT, nullable=False),
    )
