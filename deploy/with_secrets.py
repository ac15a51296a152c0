"""Starts a command with its secrets from files in the environment, and becomes that command.

python with_secrets.py dagster-daemon run ...

Swarm and Kubernetes can give a container its secrets as files of /run/secrets, where no listing of processes
or containers shows them. Each file ``x_password`` becomes the variable ``X_PASSWORD``, unless that is set;
the two addresses that hold a password are made from those, with its special characters quoted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

#: Address -> the password that it holds, and the address around it.
_ADDRESSES = {
    "TUTORMAX_STORE_URL": (
        "TUTORMAX_POSTGRES_PASSWORD",
        "postgresql://tutormax:{password}@{DAGSTER_POSTGRES_HOST}:{DAGSTER_POSTGRES_PORT}/tutormax",
    ),
    # The stack's and the cluster's own, wherever the queue's Redis is.
    "TUTORMAX_CELERY_BROKER_URL": ("REDIS_PASSWORD", "redis://:{password}@broker:6380/0"),
}
_USUAL = {"DAGSTER_POSTGRES_HOST": "postgres", "DAGSTER_POSTGRES_PORT": "5432"}


def with_secrets(folder: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The environment with the secrets of a folder; what is given wins, unless it is empty."""
    files = sorted(folder.glob("*_password")) if folder.is_dir() else []
    known = {file.name.upper(): file.read_text().strip() for file in files}
    present = {name: value for name, value in given.items() if value}
    environment = {**given, **known, **present}
    for name, (secret, address) in _ADDRESSES.items():
        if secret in known and not environment.get(name):
            password = quote(environment[secret], safe="")
            environment[name] = address.format(**{**_USUAL, **present, "password": password})
    return environment


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("Give the command to start: python with_secrets.py COMMAND ...")
    folder = Path(os.environ.get("SECRETS_FOLDER", "/run/secrets"))
    try:
        environment = with_secrets(folder, os.environ)
    except (OSError, UnicodeDecodeError) as error:
        # Not its own words: they quote a byte of the secret.
        sys.exit(f"A file of {folder} cannot be read as UTF-8 text: {type(error).__name__}")
    os.execvpe(sys.argv[1], sys.argv[1:], environment)  # noqa: S606 - what it is for
