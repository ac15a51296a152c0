"""Says which secrets compose.yaml still needs, and how to make them; the exit code is 1 where one is missing.

python deploy/check_env.py             # looks at the environment and at .env, as `docker compose` does
python deploy/check_env.py --make      # makes the missing ones, and adds them to .env, its owner's alone
"""

from __future__ import annotations

import os
import re
import secrets
import stat
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
    return {name.strip(): _value(value.strip()) for name, _, value in pairs}


def _value(text: str) -> str:
    # As Compose: what follows the closing quote, or a # after a space, is a comment.
    if text[:1] in {"'", '"'}:
        inner, closed, _ = text[1:].partition(text[0])
        return inner if closed else text
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


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


def emptied(names: list[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Name -> what is wrong, for each that is empty in the environment, which wins over .env."""
    why = "is empty in the environment, which wins over .env: unset it"
    return {name: why for name in names if name in environment and not environment[name]}


def add(file: Path, lines: list[str]) -> None:
    """Add lines to a file that from then on is its owner's alone."""
    with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a") as env:
        # Before anything secret is in it.
        os.fchmod(env.fileno(), 0o600)
        env.write("".join(f"{line}\n" for line in lines))


def main(root: Path, *, make: bool) -> int:
    """Look, or make what is missing; returns the exit code."""
    file = root / ".env"
    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        print(f".env cannot be read as UTF-8 text: {type(error).__name__}", file=sys.stderr)
        return 1
    names = required((root / "compose.yaml").read_text(encoding="utf-8"))
    wrong = {**faults(names, {**read_env(text), **os.environ}), **emptied(names, os.environ)}
    if make and wrong and set(wrong.values()) == {"is not set"}:
        lines = [f"{name}={secrets.token_hex(24)}" for name in wrong]
        add(file, [*([""] if text else []), "# --- compose.yaml", *lines])
        print(f"Made, and added to .env: {', '.join(wrong)}")
        return 0
    for name, why in wrong.items():
        print(f"{name} {why}", file=sys.stderr)
    if "is not set" in wrong.values():
        print(
            "Make the missing ones, and add them to .env: python3 deploy/check_env.py --make", file=sys.stderr
        )
    if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
        if make:
            file.chmod(0o600)
        else:
            print(".env holds secrets and can be read by others: chmod 600 .env", file=sys.stderr)
            return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1], make="--make" in sys.argv[1:]))
