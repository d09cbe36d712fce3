"""Builds a program when it is first started: `python -m lab.build.on_demand NAME ARGUMENTS`.

Pulumi looks for every provider whose library the virtual environment has, and starts only those that a stack uses. A
stack with NGINX, open source, never starts the docker-build provider, so `make up` need not build it.
"""

import os
import shlex
import sys

from lab.build.builder import build, link_programs
from lab.build.target import Target
from lab.build.targets import ON_DEMAND_TARGETS
from lab.errors import LabError
from lab.paths import BIN, REPOSITORY
from lab.progress import Progress


def provide(target: Target) -> None:
    """Puts a target's program into `BIN`: the program itself if it is built, else a script that builds it first."""
    if target.is_built:
        link_programs([target])
        return
    BIN.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "lab.build.on_demand", target.name]
    fresh = BIN / f".{target.name}.{os.getpid()}"
    # The program runs in the folder that it was started in, which need not be this one.
    fresh.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(REPOSITORY))} exec {shlex.join(words)} "$@"\n')
    fresh.chmod(0o755)
    fresh.replace(BIN / target.name)


def main() -> None:
    """Builds the program that the first argument names and becomes it; the progress goes to standard error."""
    name, *arguments = sys.argv[1:]
    (target,) = (each for each in ON_DEMAND_TARGETS if each.name == name)
    try:
        build([target], Progress())
    except LabError as error:
        sys.exit(f"error: {error}")
    os.execv(target.folder / name, [name, *arguments])  # noqa: S606 - Pulumi's own arguments


if __name__ == "__main__":
    main()
