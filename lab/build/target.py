"""Describes a build target: a program that the lab builds once and keeps in the cache.

The cache keeps it under a hash of its inputs: its folder in `lab/build/modules`, the recipe and the compiler's version.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.errors import LabError
from lab.paths import CACHE, REPOSITORY

Run = Callable[..., None]
"""Runs a command with its output in the target's log; raises `subprocess.CalledProcessError`."""

_COMPILERS = {
    "go": (["go", "env", "GOVERSION"], (1, 26, 7), "The lab builds Kubernetes and Pulumi with Go 1.26.7 or later"),
    "cargo": (["cargo", "--version"], (1, 85, 0), "The lab builds NGINX and its module with Rust 1.85 or later"),
    # Azurite asks for 22 or later. It ran with 20.20.2.
    "node": (["node", "--version"], (20, 0, 0), "The lab runs azurite, for one test, with Node.js 20 or later and npm"),
}
"""By compiler: the command that prints its version, the least version, and what the lab needs it for."""


@dataclass(frozen=True)
class Target:
    """A program that the lab builds. Debian's packages are none: `lab.cluster.host` installs them."""

    name: str
    what: str
    """Its name for people, as it is shown during the build."""

    usual_seconds: int
    """The time of a cold build on two idle cores: an estimate, until this machine has a time of its own."""

    source: Path
    compiler: str
    """`go`, `cargo` or `node`."""

    recipe: str
    """Everything about the build that is not in `source`: a change of it builds the target again."""

    make: Callable[[Run, Path], None]
    """Builds into the folder that is its last argument."""

    starts_from: "Target | None" = None
    """The target that has to be built first: a change of it builds this one again, too."""

    @property
    def folder(self) -> Path:
        """Returns the folder of the built program, whether it exists or not."""
        # `pieces` was the name of targets: another folder would build everything again.
        return CACHE / "pieces" / f"{self.name}-{self._key()}"

    @property
    def is_built(self) -> bool:
        """Tells whether the cache holds this target for its inputs as they are now."""
        return self.folder.is_dir()

    def _key(self) -> str:
        digest = hashlib.sha256()
        # Asked here and not in a `recipe`: a folder's name needs the compiler, which may be missing at an import.
        first = self.starts_from.folder.name if self.starts_from else ""
        digest.update(f"{compiler_version(self.compiler)}\n{self.recipe}{first}\n".encode())
        for file in _input_files(self.source):
            digest.update(f"{file.relative_to(self.source)}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:16]


def _input_files(source: Path) -> Iterator[Path]:
    """Returns the files that decide what is built, without documentation and what a build leaves behind."""
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_file() and file.suffix not in {".md", ".json"} and not {"target", "tests"} & set(relative.parts):
            yield file


@cache
def compiler_version(compiler: str) -> str:
    """Returns the compiler's version line.

    Raises:
        LabError: the compiler is not installed, or too old.
    """
    command, least, need = _COMPILERS[compiler]
    advice = f"{need}: install it and put `{compiler}` on PATH."
    if shutil.which(compiler) is None:
        raise LabError(f"`{compiler}` was not found. {advice}")
    # The installed toolchain: Go would otherwise fetch the one that a go.mod asks for.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=REPOSITORY, env=environment
    ).stdout.strip()
    # A first release of Go has no third number.
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", printed)
    if found is None or tuple(int(number or 0) for number in found.groups()) < least:
        raise LabError(f"`{' '.join(command)}` says {printed!r}. {advice}")
    return printed
