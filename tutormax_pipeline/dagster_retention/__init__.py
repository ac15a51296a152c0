"""Dagster's own storage kept small: what is old, and that nobody looks at any more, goes.

``runs`` removes runs with everything that belongs to them, ``events`` what is of no run, and ``disk`` tells
how large the storage is, and gives back what SQLite does not by itself. ``prune`` does all of it.
"""
