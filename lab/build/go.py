"""Makes build targets of Go programs."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from lab.build.target import Run, Target
from lab.paths import MODULES

GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}

COMPILER = "-gcflags=all=-dwarf=false"
"""No debugging information, which the linker would drop (`-s -w`): it takes a tenth of the compilers' CPU time.

It changes no machine code. All targets have the same setting: Go keeps compiled packages by their settings.
"""

FASTER = {"GOGC": "400"}
"""Less garbage collection in the compilers themselves. What they make is the same, so it is no part of a recipe."""


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
    module: str = "",
    package: str = ".",
    stamp: str = "",
    tags: str = "",
    links: tuple[str, ...] = (),
    copies: tuple[tuple[str, str], ...] = (),
    embeds: tuple[tuple[str, str], ...] = (),
) -> Target:
    """Returns the target of a Go program.

    Args:
        name: the name of the target and of the program.
        what: its name for people.
        usual_seconds: the time of a cold build on two idle cores.
        module: the folder in `lab/build/modules`, if it has another name than the target.
        package: the main package.
        stamp: a linker's `-X` setting, for programs that must know their version.
        tags: Go's build tags, which leave parts of a program out.
        links: other names that the program is called by.
        copies: (module, file) pairs that are laid beside the program.
        embeds: (module, file) pairs that are laid beside the source before it is compiled.
    """
    linker = "-s -w" + (f" -X {stamp}" if stamp else "")
    source = MODULES / (module or name)

    def make(run: Run, target: Path) -> None:
        for holder, file in embeds:
            shutil.copyfile(module_folder(source, holder) / file, source / Path(file).name)
        build = [
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            COMPILER,
            "-ldflags",
            linker,
            *(["-tags", tags] if tags else []),
            "-o",
            str(target / name),
            package,
        ]
        run(build, cwd=source, env=GO_ENVIRONMENT | FASTER)
        for link in links:
            (target / link).symlink_to(name)
        for holder, file in copies:
            copied = shutil.copyfile(module_folder(source, holder) / file, target / Path(file).name)
            Path(copied).chmod(0o755)

    parts = (package, COMPILER, linker, links, copies, embeds, sorted(GO_ENVIRONMENT.items()))
    # Without tags the recipe stays as it was, so that no cache builds such a target again.
    recipe = repr((*parts, tags) if tags else parts)
    return Target(name, what, usual_seconds, source, "go", recipe, make)
