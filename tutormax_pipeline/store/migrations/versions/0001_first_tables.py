"""The first tables: tutors, sessions, feedback and the ledger."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)
_JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Create them."""
    _record_table(
        "tutors",
        sa.Column("tutor_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("rating", sa.Float(53)),
        sa.Column("sessions_count", sa.BigInteger),
        sa.Column("email", sa.Text),
        sa.Column("qualifications", _JSON),
        sa.Column("demographics", _JSON),
        sa.Column("metrics", _JSON),
        sa.Column("active", sa.Boolean),
    )
    _record_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("tutor_id", sa.Text, nullable=False),
        sa.Column("student_id", sa.Text),
        sa.Column("student_ids", _JSON),
        sa.Column("subject", sa.Text),
        sa.Column("scheduled_start", _MOMENT),
        sa.Column("started_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        sa.Column("duration_minutes", sa.Float(53)),
        sa.Column("participants", sa.BigInteger),
        sa.Column("status", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("notes", sa.Text),
        sa.Column("engagement", sa.Float(53)),
    )
    _record_table(
        "feedback",
        sa.Column("feedback_id", sa.Text, primary_key=True),
        sa.Column("tutor_id", sa.Text, nullable=False),
        sa.Column("rating", sa.Float(53), nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("student_id", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("sentiment", sa.Text),
        sa.Column("sentiment_score", sa.Float(53)),
        sa.Column("submitted_at", _MOMENT),
    )
    op.create_table(
        "message_ledger",
        sa.Column("channel", sa.Text, primary_key=True),
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("deliveries", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("published_at", _MOMENT),
        sa.Column("recorded_at", _MOMENT, nullable=False),
    )
    op.create_index(
        "message_ledger_stored_once",
        "message_ledger",
        ["channel", "message_id"],
        unique=True,
        sqlite_where=sa.text("outcome = 'stored'"),
        postgresql_where=sa.text("outcome = 'stored'"),
    )


def _record_table(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        *columns,
        sa.Column("extra", _JSON),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("published_at", _MOMENT, nullable=False),
        sa.Column("stored_at", _MOMENT, nullable=False),
    )
