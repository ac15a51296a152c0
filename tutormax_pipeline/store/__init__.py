"""The tables, and writing them: each batch in one transaction, with the ledger that makes it exact.

    with Store.open("sqlite:///tutormax.db") as store:
        settlements = store.write(channel, arrivals, run_id="...")

Each settlement says what became of one arrival.
"""

from tutormax_pipeline.store.arrival import Arrival, Settlement
from tutormax_pipeline.store.errors import StoreError, StoreNotReadyError, StoreUnavailableError
from tutormax_pipeline.store.store import Store

__all__ = ["Arrival", "Settlement", "Store", "StoreError", "StoreNotReadyError", "StoreUnavailableError"]
