"""Starts and removes the lab: `python -m lab up` and `python -m lab down` (`make lab-up`, `make lab-down`)."""

import argparse
import sys

from lab import stack
from lab.build import on_demand
from lab.build.builder import build
from lab.build.targets import CLUSTER_TARGETS, COLLECTORS, DOCKER_BUILD_PROVIDER, OSS_STACK_TARGETS
from lab.cluster import host, lifecycle
from lab.cluster.version import kubernetes
from lab.errors import LabError
from lab.paths import BIN, CACHE, KUBECONFIG, REPOSITORY
from lab.progress import Progress


def up() -> None:
    """Builds what is missing, starts the cluster, and prints how to use it and how to stop it."""
    progress = Progress()
    host.require_root("lab-up")
    versions = stack.chosen_versions()
    if lifecycle.is_running():
        progress.say(f"The lab is already running: {kubernetes().what}.")
    host.install_packages(progress)
    build([kubernetes(), *CLUSTER_TARGETS, *OSS_STACK_TARGETS, COLLECTORS[versions]], progress)
    on_demand.provide(DOCKER_BUILD_PROVIDER)
    if not lifecycle.is_running():
        lifecycle.start(progress)
    stack.provide_images(progress, versions)
    print(f"export KUBECONFIG={KUBECONFIG}")
    # Pulumi's Python language host takes the interpreter from PATH.
    print(f'export PATH="{BIN}:{REPOSITORY}/.venv/bin:$PATH"')
    print("# stop it, and remove all of it but the cache: make lab-down")


def down() -> None:
    """Removes the cluster, and keeps the cache of built targets."""
    host.require_root("lab-down")
    removed = lifecycle.stop()
    print("The lab is removed." if removed else "There was no lab: nothing to do.")
    if removed:
        print(f"The built programs are kept in {CACHE}; remove that folder to free its space.")


COMMANDS = {"up": up, "down": down}


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments."""
    made = argparse.ArgumentParser(
        prog="python -m lab",
        description="Starts the embedded cluster, building what is missing, or removes it. Needs Linux and root.",
        epilog="LAB_KUBERNETES=1.36 chooses that version of Kubernetes instead of 1.32, and LAB_VERSIONS=tutorial the "
        "images of that set of versions. "
        "Exit code: 0 done; 1 it failed, and the message says how to fix that; 130 interrupted.",
    )
    made.add_argument("command", choices=sorted(COMMANDS), help="start it, or remove all of it but the cache")
    return made


def main() -> int:
    """Runs one command; returns the exit code, which is 1 for an error that the person can fix."""
    command = COMMANDS[parser().parse_args().command]
    try:
        command()
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The finished builds are kept: the same command resumes from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
