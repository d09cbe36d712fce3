"""Runs the lab's BuildKit for tests that build images: a builder of `docker buildx` that needs no Docker."""

import contextlib
import json
import subprocess
from collections.abc import Generator
from pathlib import Path

from lab.build.images import REGISTRY_ADDRESS
from lab.build.targets import BUILDKIT
from lab.errors import LabError
from lab.stand_ins.plus_repository.registry import ADDRESS
from lab.waiting import wait_until

BUILDER = "lab"
START_LIMIT_SECONDS = 30

_CONFIGURATION = "".join(f'[registry."{address}"]\n  http = true\n' for address in (REGISTRY_ADDRESS, ADDRESS))


@contextlib.contextmanager
def builder(folder: Path) -> Generator[dict[str, str]]:
    """Runs BuildKit. Its steps use the machine's network, which has the registry and the package repository.

    Args:
        folder: a new folder, where it keeps what it builds.

    Yields:
        The environment in which `docker buildx` finds the builder `BUILDER`.

    Raises:
        LabError: it did not start; names its log.
    """
    folder.mkdir()
    socket, log = folder / "buildkitd.sock", folder / "buildkitd.log"
    (folder / "buildkitd.toml").write_text(_CONFIGURATION)
    instance = folder / "buildx" / "instances" / BUILDER
    instance.parent.mkdir(parents=True)
    node = {"Name": "lab0", "Endpoint": f"unix://{socket}"}
    instance.write_text(json.dumps({"Name": BUILDER, "Driver": "remote", "Nodes": [node], "Dynamic": False}))
    command = [str(BUILDKIT.folder / "buildkitd"), f"--root={folder}/root", f"--addr=unix://{socket}"]
    command += [f"--config={folder}/buildkitd.toml", "--oci-worker=true", "--containerd-worker=false"]
    command += ["--oci-worker-net=host"]
    # In namespaces of its own, its mounts and its steps end with it, however it ends.
    own = ["unshare", "--pid", "--mount", "--propagation=private", "--fork", "--kill-child", "--mount-proc"]
    with log.open("w") as output:
        process = subprocess.Popen([*own, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    late = f"BuildKit did not start. Its log: {log}"

    def alive() -> None:
        if process.poll() is not None:
            raise LabError(late)

    try:
        wait_until(lambda: "running server" in log.read_text(), late, seconds=START_LIMIT_SECONDS, alive=alive)
        yield {"BUILDX_CONFIG": str(folder / "buildx")}
    finally:
        process.kill()
        process.wait()
