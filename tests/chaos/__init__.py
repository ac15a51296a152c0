"""Chaos: programs that publish and drain while everything around them is broken, and a verdict at the end.

    python -m tests.chaos                                    # a quarter of a minute of every fault
    python -m tests.chaos --messages 1000000 --seed 7        # the long run
    python -m tests.chaos --faults zombie,kill_server        # only these
    python -m tests.chaos --flushall                         # the server forgets everything, now and then
    python -m tests.chaos --store-down 60                    # the database away for a minute, under load

Exits with 1 when anything is lost, twice, older over newer, or not explained; it says which messages.
"""
