"""The quickstart's commands: `python -m quickstart up`, `down`, `probe` and `preview` (`make up` and so on)."""

import argparse
import os
import subprocess
import sys

from quickstart import clusters, stack, throwaway
from quickstart.state import REPOSITORY, STATE, QuickstartError


def up(_: list[str]) -> int:
    """Takes a cluster, deploys, sends requests and finds them, says how to go on."""
    STATE.mkdir(exist_ok=True, mode=0o700)
    cluster = clusters.take()
    print(f"Cluster: {cluster.description}")
    cluster.save()
    deployed = stack.Stack(cluster)
    deployed.up()
    probed = probe([])
    outputs = deployed.outputs()
    print()
    print(f"NGINX   {outputs['nginxUrl']}")
    print(f"Tempo   {outputs['tempoUrl']}/api/search")
    print("More    make probe     send more requests and find their traces")
    print(
        "Remove  make down      removes the stack"
        + {"yours": "", "kind": " and the kind cluster", "lab": " and the lab"}[cluster.source]
    )
    return probed


def down(_: list[str]) -> int:
    """Removes the stack and the cluster that `up` made. A second time there is nothing to do."""
    cluster = clusters.saved()
    if cluster is None:
        print("Nothing is up: nothing to do.")
        return 0
    deployed = stack.Stack(cluster)
    try:
        if not clusters.is_reachable(cluster):
            raise QuickstartError(f"Gone already: {cluster.description}, and the stack's objects with it.")
        deployed.destroy()
    except QuickstartError as error:
        if cluster.source == "yours":
            raise
        # The objects go with their cluster, whatever hindered Pulumi.
        print(error)
        deployed.forget()
    clusters.remove(cluster)
    (STATE / "cluster.json").unlink()
    return 0


def probe(arguments: list[str]) -> int:
    """Runs the probe against the quickstart's stack, or in the caller's own environment where there is none."""
    cluster = clusters.saved()
    environment = stack.environment(cluster) if cluster else dict(os.environ)
    if cluster and (context := cluster.configuration.get("kubernetes:context")):
        arguments = [*arguments, f"--context={context}"]
    return subprocess.run(
        [sys.executable, "-m", "probe", *arguments], check=False, cwd=REPOSITORY, env=environment
    ).returncode


def pulumi(arguments: list[str]) -> int:
    """Runs the Pulumi CLI on the quickstart's stack."""
    cluster = clusters.saved()
    if cluster is None:
        raise QuickstartError("Nothing is up: `make up` first.")
    return subprocess.run(
        ["pulumi", *arguments], check=False, cwd=REPOSITORY, env=stack.environment(cluster)
    ).returncode


def preview(arguments: list[str]) -> int:
    """Previews a stack's configuration on a throw-away cluster: the stack's name, then options of `pulumi preview`."""
    name, others = (arguments[0], arguments[1:]) if arguments else ("dev", [])
    return throwaway.preview(name, others)


def main() -> int:
    """Runs one command; 1 when it failed for a reason that the person can mend."""
    commands = {"up": up, "down": down, "probe": probe, "preview": preview, "pulumi": pulumi}
    parser = argparse.ArgumentParser(prog="python -m quickstart", description=__doc__)
    parser.add_argument("command", choices=sorted(commands))
    chosen, others = parser.parse_known_args()
    try:
        return commands[chosen.command](others)
    except QuickstartError as error:
        print(f"error: {error}", file=sys.stderr)
    except PermissionError as error:
        print(f"error: {error}. Was `make up` run as root? Run this as root, too.", file=sys.stderr)
    except KeyboardInterrupt:
        after = "`make up` goes on from here; `make down` removes what there is."
        print("Interrupted." if chosen.command == "preview" else f"Interrupted. {after}", file=sys.stderr)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
