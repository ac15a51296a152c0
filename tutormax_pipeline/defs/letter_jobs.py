"""The jobs that move dead letters: `redrive_dead_letters` and `discard_dead_letters`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from queue_core import QueueError
from queue_core.dead_letter import MAX_REDRIVES
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.defs.lanes import MAX_RUNTIME_SECONDS
from tutormax_pipeline.defs.letter_choice import LetterChoice
from tutormax_pipeline.defs.letter_patch import read_patch
from tutormax_pipeline.defs.letter_results import (
    Report,
    Row,
    moved,
    result_line,
    result_metadata,
    result_rows,
)
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.mending import Mending, mend
from tutormax_pipeline.store import StoreError

#: Tag of a run that says who launched it.
USER_TAG = "user"

_WHO = f"Who it is that launches it, for the archive; empty: the run's tag `{USER_TAG}`."


class RedriveConfig(LetterChoice):
    """Which letters to put back, and how. As it stands: a dry run over all of them."""

    limit: int | None = Field(default=None, ge=1, description="Most letters to put back; empty: no limit.")
    per_second: float | None = Field(
        default=None, gt=0, description="Most letters to put back in a second; empty: as fast as it goes."
    )
    max_redrives: int = Field(
        default=MAX_REDRIVES, ge=1, description="Leave messages that were redriven as often before."
    )
    merge_patch: Any = Field(
        default=None,
        description="Mend each message on its way: an object with the fields of the data to set, null to "
        "remove one (RFC 7396), or its JSON text. `{}` accepts the data as it stands. A message that would "
        "still fail stays where it is. Not for personal data: a run's config is kept for all to see.",
    )
    who: str = Field(default="", description=f"Only with a merge patch. {_WHO}")
    why: str = Field(default="", description="Only with a merge patch: the reason, for the archive.")


class DiscardConfig(LetterChoice):
    """Which letters to throw away. As it stands: a dry run over all of them."""

    who: str = Field(default="", description=_WHO)
    why: str = Field(default="", description="The reason, for the archive. Required, but of a dry run.")


@dg.op(
    name="redrive",
    description="Publishes the messages of dead letters again, each under its own message id, in one atomic "
    "step; or mends each and publishes it then.",
    out=dg.Out(list, description="One row for each outcome: outcome, letters, meaning."),
    tags={"kind": "redis"},
)
def redrive_op(
    context: dg.OpExecutionContext, config: RedriveConfig, queue: QueueResource, store: StoreResource
) -> list[Row]:
    """Returns outcome, letters and meaning, row by row."""
    with _told() as told, queue.connect() as client, stop_on_signals() as stop:
        chosen = config.chosen()
        if config.merge_patch is None:
            report: Report = dead_letters(client).redrive(
                chosen,
                limit=config.limit,
                per_second=config.per_second,
                dry_run=config.dry_run,
                max_redrives=config.max_redrives,
                progress=told,
                stop=stop,
            )
        else:
            patch, (who, why) = read_patch(config.merge_patch), _signature(context, config)
            mending = Mending(
                patch, who, why, config.limit, config.per_second, config.max_redrives, config.dry_run
            )
            with store.open() as tables:
                report = mend(dead_letters(client, tables), chosen, mending, progress=told, stop=stop)
    return _result(context, report)


@dg.op(
    name="discard",
    description="Archives dead letters in the store, with who, when and why, and removes them.",
    out=dg.Out(list, description="One row for each outcome: outcome, letters, meaning."),
    tags={"kind": "redis"},
)
def discard_op(
    context: dg.OpExecutionContext, config: DiscardConfig, queue: QueueResource, store: StoreResource
) -> list[Row]:
    """Returns outcome, letters and meaning, row by row."""
    with _told() as told, queue.connect() as client, store.open() as tables, stop_on_signals() as stop:
        chosen, (who, why) = config.chosen(), _signature(context, config)
        report = dead_letters(client, tables).discard(
            chosen, who=who, why=why, dry_run=config.dry_run, progress=told, stop=stop
        )
    return _result(context, report)


_TAGS = {"queue": "dead_letters", "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}
_SAFE = (
    "As launched it is a **dry run**: it changes nothing and says what it would do; `dry_run: false` does "
    "it. It can be terminated at any moment, and launched again goes on."
)


@dg.job(
    description="Put dead letters back into their queues, from where the next drain takes them.\n\nThe "
    f"report on the asset `dead_letters` has the config for each group, ready to paste. {_SAFE}",
    tags=_TAGS,
    executor_def=dg.in_process_executor,
)
def redrive_dead_letters() -> None:
    """One op."""
    redrive_op()


@dg.job(
    description="Throw dead letters away; the originals are archived in the store, with who, when and why."
    f"\n\nThe report on the asset `dead_letters` has the config for each group, ready to paste. {_SAFE}",
    tags=_TAGS,
    executor_def=dg.in_process_executor,
)
def discard_dead_letters() -> None:
    """One op."""
    discard_op()


@contextmanager
def _told() -> Iterator[Callable[[Report], None]]:
    """Takes reports of progress; an error says, beside its words, what was done before it."""
    done = [0]

    def told(report: Report) -> None:
        done[0] = moved(report)

    try:
        yield told
    except (QueueError, StoreError, ValueError) as error:
        before = f" Before that, {done[0]:,} were moved; the same launch goes on." if done[0] else ""
        raise dg.Failure(description=f"{error}{before}") from error


def _signature(context: dg.OpExecutionContext, config: RedriveConfig | DiscardConfig) -> tuple[str, str]:
    who = config.who.strip() or context.run.tags.get(USER_TAG, "").strip()
    why = config.why.strip()
    if config.dry_run:
        return who or "dry run", why or "dry run"
    missing = [name for name, words in (("who", who), ("why", why)) if not words]
    if missing:
        raise ValueError(
            f"Nothing was changed: {' and '.join(missing)} must be said, for the archive keeps it with the "
            f"originals. Set it in the config (who: may be the run's tag {USER_TAG})."
        )
    return who, why


def _result(context: dg.OpExecutionContext, report: Report) -> list[Row]:
    line = result_line(report)
    if report.stopped:
        raise dg.DagsterExecutionInterruptedError(line)
    (context.log.warning if report.dry_run else context.log.info)(line)
    context.add_output_metadata(result_metadata(report))
    return result_rows(report)
