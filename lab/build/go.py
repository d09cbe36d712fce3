"""Makes build targets of Go programs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from lab.build.target import Run, Target
from lab.paths import MODULES

GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def module_folder(source: Path, module: str) -> Path:
    """Returns the folder with a Go module's source, and fetches the module if it is not there.

    Args:
        source: the folder of a target, whose go.mod names the version.
        module: the module's path.
    """
    found = subprocess.run(
        ["go", "mod", "download", "-json", module],
        check=True,
        capture_output=True,
        text=True,
        cwd=source,
        env=os.environ | GO_ENVIRONMENT,
    )
    return Path(json.loads(found.stdout)["Dir"])


def go_target(
    name: str,
    what: str,
    usual_seconds: int,
    *,
    package: str = ".",
    stamp: str = "",
    links: tuple[str, ...] = (),
    copies: tuple[tuple[str, str], ...] = (),
    embeds: tuple[tuple[str, str], ...] = (),
) -> Target:
    """Returns the target of a Go program.

    Args:
        name: the name of the target, of its folder in `lab/build/modules` and of the program.
        what: its name for people.
        usual_seconds: the time of a cold build on two idle cores.
        package: the main package.
        stamp: a linker's `-X` setting, for programs that must know their version.
        links: other names that the program is called by.
        copies: (module, file) pairs that are laid beside the program.
        embeds: (module, file) pairs that are laid beside the source before it is compiled.
    """
    linker = "-s -w" + (f" -X {stamp}" if stamp else "")
    source = MODULES / name

    def make(run: Run, target: Path) -> None:
        for module, file in embeds:
            shutil.copyfile(module_folder(source, module) / file, source / Path(file).name)
        build = [
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            linker,
            "-o",
            str(target / name),
            package,
        ]
        run(build, cwd=source, env=GO_ENVIRONMENT)
        for link in links:
            (target / link).symlink_to(name)
        for module, file in copies:
            copied = shutil.copyfile(module_folder(source, module) / file, target / Path(file).name)
            Path(copied).chmod(0o755)

    recipe = repr((package, linker, links, copies, embeds, sorted(GO_ENVIRONMENT.items())))
    return Target(name, what, usual_seconds, source, "go", recipe, make)
