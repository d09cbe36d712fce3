"""Runs an image registry that asks for a login, which the lab's own does not: on the machine and on the node."""

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path

import bcrypt
import httpx2
import yaml

from lab.build.targets import REGISTRY
from lab.cluster.lifecycle import in_node
from lab.waiting import wait_until

ADDRESS = "localhost:5001"
START_LIMIT_SECONDS = 30


@contextlib.contextmanager
def private_registry(folder: Path, username: str, password: str) -> Generator[Path]:
    """Runs the registry, and once more inside the node, where the kubelet pulls by the same name.

    Args:
        folder: a new folder, where it keeps its images.
        username: the user who may push and pull.
        password: the user's password.

    Yields:
        The folder with the blobs of the images that were pushed.

    Raises:
        LabError: it did not start.
    """
    folder.mkdir()
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    (folder / "users").write_text(f"{username}:{hashed}\n")
    configuration = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": True}},
        "http": {"addr": ADDRESS.replace("localhost", "127.0.0.1")},
        "auth": {"htpasswd": {"realm": "lab", "path": str(folder / "users")}},
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(configuration))
    command = [str(REGISTRY.folder / "registry"), "serve", str(folder / "registry.yaml")]
    with (folder / "registry.log").open("w") as log:
        running = [
            subprocess.Popen(where, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            for where in (command, in_node(*command))
        ]
    try:
        late = f"The registry with a login did not start. Its log: {folder}/registry.log"
        wait_until(_asks_for_a_login, late, seconds=START_LIMIT_SECONDS)
        yield folder / "images"
    finally:
        for process in running:
            process.terminate()
            process.wait()


def _asks_for_a_login() -> bool:
    try:
        return httpx2.get(f"http://{ADDRESS}/v2/", timeout=1).status_code == 401
    except httpx2.HTTPError:
        return False
