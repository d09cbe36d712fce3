"""The commands `up`, `down`, `pulumi` and `preview`, and `probe` for the stack that `up` deployed."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable

from tools.errors import ToolError
from tools.paths import REPOSITORY
from tools.pulumi_cli import PulumiCli
from tools.quickstart import clusters, parsers, stack
from tools.quickstart.state import STATE

Command = Callable[[list[str]], int]


def _explained(command: Command) -> Command:
    """Makes a command print an error that a person can fix, and return 1; 130 after Ctrl-C."""

    @functools.wraps(command)
    def explained(arguments: list[str]) -> int:
        try:
            return command(arguments)
        except ToolError as error:
            print(f"error: {error}", file=sys.stderr)
        except PermissionError as error:
            print(f"error: {error}. Was `make up` run as root? Run this as root, too.", file=sys.stderr)
        except KeyboardInterrupt:
            after = "`make up` continues from here; `make down` removes what exists."
            print("Interrupted." if command.__name__ == "preview" else f"Interrupted. {after}", file=sys.stderr)
            return 130
        return 1

    return explained


@_explained
def up(arguments: list[str]) -> int:
    """Takes a cluster, deploys, sends requests and finds them, prints how to continue."""
    parsers.up().parse_args(arguments)
    STATE.mkdir(exist_ok=True, mode=0o700)
    cluster = clusters.acquire()
    print(f"Cluster: {cluster.description}")
    cluster.save()
    deployed = stack.Stack(cluster)
    deployed.up()
    probed = probe([])
    outputs = deployed.outputs()
    print()
    print(f"NGINX   {outputs['nginxUrl']}")
    if demo := outputs.get("demo"):
        print(f"Demo    {outputs['nginxUrl']}{demo['path']}")
    print(f"Tempo   {outputs['tempoUrl']}/api/search")
    print("Look    make view      search the traces and open one in a browser")
    print("More    make probe     send more requests and find their traces")
    created = {"kind": " and the kind cluster", "lab": " and the lab"}[cluster.source] if cluster.is_ours else ""
    print(f"Remove  make down      removes the stack{created}")
    return probed


@_explained
def down(arguments: list[str]) -> int:
    """Removes the stack and the cluster that `up` created. A second call finds nothing to do."""
    parsers.down().parse_args(arguments)
    cluster = clusters.saved()
    if cluster is None:
        print("Nothing is up: nothing to do.")
        return 0
    deployed = stack.Stack(cluster)
    try:
        if not clusters.is_reachable(cluster):
            raise ToolError(f"Gone already: {cluster.description}, and the stack's objects with it.")
        deployed.destroy()
    except ToolError as error:
        if not cluster.is_ours:
            raise
        # The objects are removed with their cluster, though Pulumi could not remove them.
        print(error)
        deployed.forget()
    clusters.remove(cluster)
    (STATE / "cluster.json").unlink()
    return 0


@_explained
def probe(arguments: list[str]) -> int:
    """Runs the probe against the quickstart's stack, or in the caller's own environment where there is none."""
    cluster = clusters.saved()
    environment = stack.environment(cluster) if cluster else dict(os.environ)
    return subprocess.run(
        [sys.executable, "-m", "tools", "probe", *arguments], check=False, cwd=REPOSITORY, env=environment
    ).returncode


@_explained
def view(arguments: list[str]) -> int:
    """Shows the traces of the quickstart's stack, or of the caller's own selected one where there is none."""
    cluster = clusters.saved()
    environment = stack.environment(cluster) if cluster else dict(os.environ)
    os.chdir(REPOSITORY)
    # This process becomes the view: as its parent, it would kill the view a quarter of a second after Ctrl-C.
    os.execve(sys.executable, [sys.executable, "-m", "tools", "view", *arguments], environment)  # noqa: S606


@_explained
def pulumi(arguments: list[str]) -> int:
    """Runs the Pulumi CLI on the quickstart's stack."""
    # Every other flag is the CLI's own.
    if arguments[:1] in (["-h"], ["--help"]):
        parsers.pulumi().parse_args(arguments)
    cluster = clusters.saved()
    if cluster is None:
        raise ToolError("Nothing is up: `make up` first.")
    return PulumiCli(environment=stack.environment(cluster)).show(*arguments, may_ask=True)


@_explained
def preview(arguments: list[str]) -> int:
    """Previews a stack's configuration on an ephemeral cluster: the stack's name, then options of `pulumi preview`."""
    # Imported here: it brings the program's modules, which the other commands do not need.
    from tools.quickstart import ephemeral  # noqa: PLC0415

    options, others = parsers.preview().parse_known_args(arguments)
    return ephemeral.preview(options.stack, others)
