"""What the pipeline promises in numbers, measured: ``make bench``, or ``python -m benchmarks.drain``."""
