"""``tutormax store``: whether the tables are those of this code, and bringing them up to date."""

from __future__ import annotations

import sys

import click

from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.schema import HEAD, Standing

#: Exit codes of ``check``.
_EXIT_CODES = {Standing.UP_TO_DATE: 0, Standing.BEHIND: 1, Standing.NEWER: 3, Standing.FOREIGN: 4}
_NOT_LOOKED_AT = 2

_REMEDIES = {
    Standing.UP_TO_DATE: "",
    Standing.BEHIND: " Run 'tutormax store upgrade'; what opens the store next does it too.",
    Standing.NEWER: " Install that version, or give another TUTORMAX_STORE_URL.",
    Standing.FOREIGN: " Give a database of its own in TUTORMAX_STORE_URL, or restore alembic_version.",
}


@click.group()
def store() -> None:
    """The tables of the store."""


@store.command()
def upgrade() -> None:
    """Create the tables, or migrate them; safe to repeat, and for several at once."""
    with _store() as opened:
        before = opened.revision()
        opened.upgrade()
        changed = before.standing is not Standing.UP_TO_DATE
        click.echo(f"{opened.address}: {'upgraded to' if changed else 'up to date at'} revision {HEAD}.")


@store.command()
def check() -> None:
    """Say how the tables stand to this code, and change nothing.

    Exit codes: 0 up to date, 1 behind, 3 made by newer code, 4 not this pipeline's or
    without their revision, 2 it could not be looked at.
    """
    try:
        with _store() as opened:
            found = opened.revision()
            address = opened.address
    except StoreError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(_NOT_LOOKED_AT)
    revision = "no tables yet" if found.standing is Standing.BEHIND else "no revision"
    if found.name is not None:
        revision = f"revision {found.name}"
    words = f"{found.standing.value} ({revision}; this code: {HEAD})."
    click.echo(f"{address}: {words}{_REMEDIES[found.standing]}")
    sys.exit(_EXIT_CODES[found.standing])


def _store() -> Store:
    return configured_store(PipelineSettings.load(), Store)
