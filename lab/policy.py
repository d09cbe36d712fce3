"""Previews a stack on the lab with the policy pack: `python -m lab.policy FOLDER STACK [EVENT LOG]`.

The lab's Python language host is too old to start a policy pack, and the CLI starts packs with a language host wherever
it finds one. So this module runs without the host: the program inline, and the pack with the older starter, a shell
script. On other clusters, `pulumi preview --policy-pack policy` with a released CLI is enough.
"""

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pulumi.automation import CommandError, CommandResult, LocalWorkspace, OnOutput, PulumiCommand, Stack

from lab.build.go import module_folder
from lab.build.targets import KUBERNETES_PROVIDER, LANGUAGE_HOST, PULUMI
from lab.paths import REPOSITORY

STARTER = "pulumi-analyzer-policy-python"


def preview(
    folder: Path, stack: str, environment: Mapping[str, str], event_log: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Previews a stack of `lay_out` with the checkout's policy pack; the exit code is 0 if all policies agree.

    Args:
        folder: the copy of the program; the pack and its programs are copied there.
        stack: the stack's name.
        environment: the one that `lay_out` returned.
        event_log: the file for the engine's events, as of `--event-log`; the preview then prints JSON.
    """
    # Beside the program: its virtual environment is the pack's, as in the checkout.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "policy", folder / "policy", ignore=ignored, dirs_exist_ok=True)
    path = [str(_programs(folder)), *_without_language_host(environment["PATH"])]
    return subprocess.run(
        [sys.executable, "-m", "lab.policy", str(folder), stack, *([str(event_log)] if event_log else [])],
        check=False,
        cwd=REPOSITORY,
        env=dict(environment) | {"PATH": os.pathsep.join(path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def _programs(folder: Path) -> Path:
    programs = folder / "policy-bin"
    programs.mkdir(exist_ok=True)
    for target, name in ((PULUMI, "pulumi"), (KUBERNETES_PROVIDER, "pulumi-resource-kubernetes")):
        link = programs / name
        link.unlink(missing_ok=True)
        link.symlink_to(target.folder / name)
    # Go's module cache keeps no file executable.
    starter = shutil.copyfile(
        module_folder(LANGUAGE_HOST.source, "github.com/pulumi/pulumi/sdk/v3") / "python" / "dist" / STARTER,
        programs / STARTER,
    )
    starter.chmod(0o755)
    return programs


def _without_language_host(path: str) -> list[str]:
    return [folder for folder in path.split(os.pathsep) if not (Path(folder) / "pulumi-language-python").exists()]


class _Command(PulumiCommand):
    """Makes the engine write its events to a file; otherwise Automation API reads them itself."""

    event_log: str | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> CommandResult:
        if self.event_log and "--event-log" in args:
            args[args.index("--event-log") + 1] = self.event_log
        return super().run(args, cwd, additional_env, on_output, on_error)


def main(folder: Path, stack: str, event_log: str | None = None) -> int:
    """Runs the preview in a process of its own, with the program's modules of the folder."""

    def program() -> None:
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    sys.path.insert(0, str(folder))
    command = _Command()
    command.event_log = event_log
    workspace = LocalWorkspace(work_dir=str(folder), program=program, pulumi_command=command)
    try:
        Stack.select(stack, workspace).preview(
            policy_packs=[str(folder / "policy")],
            color="never",
            json=event_log is not None,
            on_output=print,
            on_error=lambda line: print(line, file=sys.stderr),
        )
    except CommandError:
        # Its output was printed.
        return 1
    except RuntimeError:
        # Automation API misses the events, which went to the file.
        if event_log is None:
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
