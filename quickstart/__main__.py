"""The quickstart's commands: `python -m quickstart up`, `down` and `probe` (`make up`, `make down`, `make probe`)."""

import argparse
import os
import subprocess
import sys

from quickstart import clusters, stack
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
    if clusters.is_reachable(cluster):
        deployed.destroy()
    else:
        print(f"Gone already: {cluster.description}, and the stack's objects with it.")
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


def main() -> int:
    """Runs one command; 1 when it failed for a reason that the person can mend."""
    commands = {"up": up, "down": down, "probe": probe}
    parser = argparse.ArgumentParser(prog="python -m quickstart", description=__doc__)
    parser.add_argument("command", choices=sorted(commands))
    chosen, others = parser.parse_known_args()
    try:
        return commands[chosen.command](others)
    except QuickstartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
