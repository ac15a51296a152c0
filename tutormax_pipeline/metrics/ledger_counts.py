"""What the ledger settled, counted no more often than it may cost."""

from __future__ import annotations

import time
from collections.abc import Callable

from queue_core.outcomes import Outcome
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.settled import settled_ever

#: A count is made again after this many times as long as it took: at most a twentieth of the time is spent
#: counting, however large the ledger is.
_REST = 19

#: How long a count may be at work while the one before it still stands for the store; then it hangs.
_PATIENCE_SECONDS = 60.0


class LedgerCounts:
    """Counts of a store that may be away, and of a ledger that may be large.

    Args:
        open_store: opens it, to read; again after it was away.
        clock: seconds on a clock that never jumps.
    """

    def __init__(
        self, open_store: Callable[[], Store], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_store, self._clock = open_store, clock
        self._store: Store | None = None
        self._counted: dict[tuple[str, Outcome], int] | None = None
        self._asked_at = self._next_count = clock()

    def __call__(self) -> dict[tuple[str, Outcome], int] | None:
        """Entries by channel and final state; None where the store cannot be read.

        As they were a little while ago, where counting takes long.
        """
        self._asked_at = begun = self._clock()
        try:
            if self._store is None:
                self._store = self._open_store()
            else:
                # Between two counts it would not be noticed else that the store went away.
                self._store.require_tables()
            if self._counted is None or begun >= self._next_count:
                self._counted = settled_ever(self._store)
                ended = self._clock()
                self._next_count = ended + _REST * (ended - begun)
        except StoreError:
            self.close()
            return None
        return self._counted

    def last(self) -> dict[tuple[str, Outcome], int] | None:
        """What was counted last, for whoever cannot wait for the count that is at work.

        None where the store could not be read then, or where that count seems to hang.
        """
        return self._counted if self._clock() - self._asked_at < _PATIENCE_SECONDS else None

    def close(self) -> None:
        """Close the store; the next count opens it again."""
        if self._store is not None:
            self._store.close()
        self._store = self._counted = None
