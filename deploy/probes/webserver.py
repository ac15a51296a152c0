"""Does Dagster's webserver of this container answer? The exit code says so."""

import os
import sys
from urllib.request import urlopen

address = f"http://127.0.0.1:{os.environ.get('DAGSTER_WEBSERVER_PORT', '3000')}/server_info"
try:
    with urlopen(address, timeout=5) as answer:
        answer.read()
except OSError as error:
    sys.exit(f"The webserver at {address} does not answer: {error}")
