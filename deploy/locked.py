"""Prints the part of requirements.lock that some extras of the project need, hashes included.

python deploy/locked.py ui postgres      # what the project itself needs, and these extras
python deploy/locked.py --only hatchling # this package, and what it needs

The lock has every extra in it, the tools of development too, and an image is to have what runs and no more.
Which package is needed by which is written in the lock itself ("via").
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def packages(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Name of each package -> its lines in the lock, and who needs it."""
    found = {}
    for block in re.split(r"\n(?=\S)", lock.strip("\n")):
        lines = block.splitlines()
        named = _NAME.match(lines[0])
        if named is None:
            continue
        comments = " ".join(line.strip(" #") for line in lines if line.lstrip().startswith("#"))
        needed_by = {word for word in comments.removeprefix("via").split() if _NAME.fullmatch(word)}
        kept = [line for line in lines if not line.lstrip().startswith("#")]
        found[named[0].lower()] = ("\n".join(kept), needed_by)
    return found


def needed(lock: str, roots: set[str]) -> list[str]:
    """The lines of the roots, and of everything that they need.

    Raises:
        SystemExit: a root is not in the lock.
    """
    known = packages(lock)
    if missing := sorted(roots - known.keys()):
        raise SystemExit(f"not in requirements.lock: {', '.join(missing)}. Write it anew: make lock")
    chosen: set[str] = set()
    grown = set(roots)
    while grown:
        chosen |= grown
        grown = {name for name, (_, by) in known.items() if by & grown} - chosen
    return [known[name][0] for name in sorted(chosen)]


def roots_of(pyproject: str, extras: list[str]) -> set[str]:
    """Names of the packages that the project and some of its extras ask for."""
    project = tomllib.loads(pyproject)["project"]
    wanted = [
        *project["dependencies"],
        *(one for name in extras for one in project["optional-dependencies"][name]),
    ]
    return {_name(requirement) for requirement in wanted}


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def main(arguments: list[str]) -> None:
    """Print to standard output what pip's ``--requirement`` takes."""
    here = Path.cwd()
    if arguments[:1] == ["--only"]:
        roots = set(arguments[1:])
    else:
        roots = roots_of((here / "pyproject.toml").read_text(), arguments)
    print("\n".join(needed((here / "requirements.lock").read_text(), roots)))


if __name__ == "__main__":
    main(sys.argv[1:])
