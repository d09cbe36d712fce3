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
from lab.paths import BIN, CACHE, REPOSITORY
from lab.progress import Progress


def provide(target: Target) -> None:
    """Puts a target's program into `BIN`: the program itself if it is built, else a script that builds it first."""
    if target.is_built:
        link_programs([target])
        return
    BIN.mkdir(parents=True, exist_ok=True)
    fresh = BIN / f".{target.name}.{os.getpid()}"
    fresh.write_text(_launcher(target.name))
    fresh.chmod(0o755)
    fresh.replace(BIN / target.name)


def _launcher(name: str) -> str:
    """Returns a script that builds a program and becomes it, in the folder and with the environment of its caller.

    All checkouts share `BIN`: the one that wrote the script may be gone when Pulumi starts it.
    """
    gone = (
        f"error: {name} is not built yet, and the checkout that was to build it is gone or has lost its Python "
        f"environment: {REPOSITORY}. Run this in a checkout of nginx-tracing, and try again: make lab-up"
    )
    here, python, message = (shlex.quote(str(part)) for part in (REPOSITORY, sys.executable, gone))
    return f"""\
#!/bin/sh
if ! [ -d {here}/lab ] || ! [ -x {python} ]; then
    printf '%s\\n' {message} >&2
    exit 1
fi
export NGINX_TRACING_CACHE={shlex.quote(str(CACHE))} PYTHONPATH={here}
exec {python} -m lab.build.on_demand {shlex.quote(name)} "$@"
"""


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
