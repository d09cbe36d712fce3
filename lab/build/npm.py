"""Makes build targets of Node.js programs."""

import shutil
from pathlib import Path

from lab.build.target import Run, Target
from lab.paths import MODULES

_INSTALL = ("npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
"""Installs what package-lock.json names with its hashes, and runs no package's own code meanwhile."""

_FILES = ("package.json", "package-lock.json")


def npm_target(name: str, what: str, usual_seconds: int) -> Target:
    """Returns the target of a package of npm, with all that it needs in `node_modules`.

    Args:
        name: the name of the target, and of its folder in `lab/build/modules`.
        what: its name for people.
        usual_seconds: the time of a cold installation.
    """
    source = MODULES / name

    def make(run: Run, target: Path) -> None:
        for file in _FILES:
            shutil.copyfile(source / file, target / file)
        run([*_INSTALL], cwd=target)

    # A target's key leaves JSON files out, because Go's targets get some during a build.
    recipe = "\n".join([*_INSTALL, *((source / file).read_text(encoding="utf-8") for file in _FILES)])
    return Target(name, what, usual_seconds, source, "node", recipe, make)
