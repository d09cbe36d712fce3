"""A stack of the program on the lab, for tests and measurements: a copy with a backend of its own.

`make up` is not built on it: it deploys the checkout itself, on whatever cluster it takes.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from lab.paths import BIN, KUBECONFIG, REPOSITORY

PROGRAM = ("Pulumi.yaml", "__main__.py", "settings", "components", "docker", "requirements.txt")


def lay_out(folder: Path, name: str, namespace: str) -> dict[str, str]:
    """Copies the program into a new folder and makes a stack of it with the lab's images.

    Args:
        folder: where; made here.
        name: the stack.
        namespace: what it deploys to.

    Returns:
        The environment in which `pulumi` and `kubectl` find the stack and the lab.
    """
    folder.mkdir()
    for entry in PROGRAM:
        source = REPOSITORY / entry
        if source.is_dir():
            shutil.copytree(source, folder / entry, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / entry)
    (folder / ".venv").symlink_to(sys.prefix)
    document = yaml.safe_load((REPOSITORY / "lab" / "Pulumi.lab.yaml").read_text())
    document["config"]["nginx-tracing:namespace"] = namespace
    (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(document))
    backend = folder / "backend"
    backend.mkdir()
    environment = os.environ | {
        # The lab's Python language host takes the interpreter from PATH.
        "PATH": f"{BIN}:{sys.prefix}/bin:{os.environ['PATH']}",
        "KUBECONFIG": str(KUBECONFIG),
        "PULUMI_BACKEND_URL": f"file://{backend}",
        "PULUMI_CONFIG_PASSPHRASE": "protects nothing",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    command = ["pulumi", "stack", "init", name]
    subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    return environment
