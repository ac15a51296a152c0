"""Says which secrets compose.yaml still needs, and how to make them; the exit code is 1 where one is missing.

python deploy/check_env.py             # looks at the environment and at .env, as `docker compose` does
python deploy/check_env.py --make      # makes the missing ones, and adds them to .env
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

#: ``${NAME:?...}``: a variable without which Compose refuses to start.
_REQUIRED = re.compile(r"\$\{([A-Z_]+):\?")
#: What needs no escaping in addresses and configuration files.
_PLAIN = re.compile(r"[A-Za-z0-9_-]{16,}")


def required(compose: str) -> list[str]:
    """Names of the secrets, in the order of their first use."""
    return list(dict.fromkeys(_REQUIRED.findall(compose)))


def read_env(text: str) -> dict[str, str]:
    """Name -> value of the lines of an .env file; the last one counts."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.removeprefix("export ").partition("=") for line in lines if "=" in line and line[0] != "#")
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def faults(names: list[str], given: Mapping[str, str]) -> dict[str, str]:
    """Name -> what is wrong, for each secret that cannot be used as it is."""
    found = {}
    for name in names:
        value = given.get(name, "")
        if not value:
            found[name] = "is not set"
        elif not _PLAIN.fullmatch(value):
            found[name] = "is to be 16 or more letters, digits, - and _, for it becomes part of addresses"
    return found


def main(root: Path, *, make: bool) -> int:
    """Look, or make what is missing; returns the exit code."""
    file = root / ".env"
    text = file.read_text() if file.exists() else ""
    wrong = faults(required((root / "compose.yaml").read_text()), {**read_env(text), **os.environ})
    if not wrong:
        return 0
    if make and set(wrong.values()) == {"is not set"}:
        lines = [f"{name}={secrets.token_hex(24)}" for name in wrong]
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as env:
            env.write("".join(f"{line}\n" for line in ["", "# --- compose.yaml", *lines] if line or text))
        print(f"Made, and added to .env: {', '.join(wrong)}")
        return 0
    for name, why in wrong.items():
        print(f"{name} {why}", file=sys.stderr)
    print("Make the missing ones, and add them to .env: python3 deploy/check_env.py --make", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1], make="--make" in sys.argv[1:]))
