"""Does ``tutormax metrics`` of this container answer? The exit code says so."""

import os
import sys
from urllib.request import urlopen

ADDRESS = f"http://127.0.0.1:{os.environ.get('METRICS_PORT', '9464')}/metrics"
try:
    with urlopen(ADDRESS, timeout=8) as answer:
        answer.read()
except OSError as error:
    sys.exit(f"{ADDRESS} does not answer: {error}")
