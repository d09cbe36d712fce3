"""Copies this checkout, so that commands run in the copy and touch nothing that they made in the original."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.paths import REPOSITORY

_NOT_COPIED = (".git", ".venv", ".state", ".*_cache", ".hypothesis", "__pycache__", "Pulumi.quickstart.yaml")


@dataclass(frozen=True)
class Checkout:
    """Holds the copy, and the environment of the commands in it."""

    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def copy(cls, folder: Path, **environment: str) -> "Checkout":
        """Copies the checkout, with the same Python libraries. Only `environment` names a cluster."""
        shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        libraries = folder / ".venv"
        libraries.mkdir()
        for entry in Path(sys.prefix).iterdir():
            (libraries / entry.name).symlink_to(entry)
        # Newer than the lists of libraries, so that make does not install any.
        (libraries / "complete").unlink(missing_ok=True)
        (libraries / "complete").touch()
        named = ("KUBECONFIG", "CONTEXT", "MAKEFLAGS", "MAKELEVEL")
        inherited = {
            key: value for key, value in os.environ.items() if key not in named and not key.startswith("PULUMI_")
        }
        return cls(folder, inherited | environment)

    def make(self, *arguments: str) -> str:
        """Runs make, which must succeed, and returns what it printed."""
        done = subprocess.run(
            ["make", *arguments],
            check=False,
            cwd=self.folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"make {' '.join(arguments)}:\n{done.stdout}"
        return done.stdout


def up_again_and_probe(checkout: Checkout) -> None:
    """Runs a second `make up`, which changes nothing, and `make probe`, which finds every request."""
    again = checkout.make("up")
    assert re.search(r"^ +\d+ unchanged$", again, re.MULTILINE), again
    assert re.findall(r"^ +\S+ \d+ (?:created|updated|replaced|deleted)$", again, re.MULTILINE) == []
    checkout.make("probe", "ARGS=--requests 30")
