"""Starts, finds and removes the lab's cluster."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2

from lab.build import images
from lab.cluster import configuration, host, node, version, volumes
from lab.cluster.network import HOST_INTERFACE, NODE_NAME
from lab.errors import LabError
from lab.paths import KUBECONFIG, NODE_LOGS, REPOSITORY, STATE
from lab.progress import Progress
from lab.waiting import wait_until

CONTAINERD = ("ctr", "--namespace=k8s.io", "--address=/run/containerd/containerd.sock")
"""The client of the node's container runtime; `in_node` runs it."""

START_LIMIT_SECONDS = 120
STOP_LIMIT_SECONDS = 30
PID_FILE = STATE / "node.pid"

_FORMER_NODE = "lab.node"
"""The name of the node's module in earlier versions: a lab that one of them started is found, and can be removed."""


def is_running() -> bool:
    """Tells whether a lab runs on this machine, ready or not."""
    return _pid() is not None


def _pid() -> int | None:
    """Returns the process that holds the lab's namespaces, if it lives and is the lab's."""
    try:
        pid = int(PID_FILE.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    names = {word.decode(errors="replace") for word in command.split(b"\0")}
    return pid if names & {node.__name__, _FORMER_NODE} else None


def start(progress: Progress) -> None:
    """Starts the node and waits until pods can run. It uses what an earlier, killed lab left.

    Raises:
        LabError: the machine lacks something, or the cluster was not ready in time; names the log.
    """
    _clear_the_way()
    host.require_free_port()
    host.require_free_address()
    version.keep()
    configuration.write_all()
    volumes.make_folders()
    NODE_LOGS.mkdir(parents=True, exist_ok=True)
    with (NODE_LOGS / "node.log").open("a") as log:
        process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--propagation=private", "--fork", "--kill-child", "--mount-proc"]
            + [sys.executable, "-m", node.__name__],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    PID_FILE.write_text(str(process.pid))

    def alive() -> None:
        if process.poll() is not None:
            raise LabError(f"The node ended with {process.returncode} while starting. Its log: {NODE_LOGS}/node.log")

    try:
        _until_ready(progress, alive)
    except BaseException:
        # `is_running` would take a lab that is not ready for a running one.
        kill()
        raise


def _until_ready(progress: Progress, alive: Callable[[], None]) -> None:
    with progress.step(f"start {version.kubernetes().what}") as step:
        step.detail("registry")
        _wait("the image registry", _registry_answers, alive)
        images.push([images.pause_image(), images.coredns_image()], progress)
        step.detail("API server")
        _wait("the API server", lambda: _succeeds("get", "--raw=/readyz"), alive)
        _apply_cluster_dns(alive)
        _apply(volumes.manifest(), alive)
        # The programs themselves are asked: after a killed lab is started again, the API server reports an old state of
        # the node and its pods for a while.
        step.detail("node")
        _wait("the node", lambda: _succeeds("get", f"--raw=/api/v1/nodes/{NODE_NAME}/proxy/healthz"), alive)
        step.detail("cluster DNS")
        ready = "--raw=/api/v1/namespaces/kube-system/services/kube-dns:ready/proxy/ready"
        _wait("the cluster's DNS", lambda: _succeeds("get", ready), alive)


def pull(wanted: list[images.Image], progress: Progress) -> None:
    """Pulls images onto the node before the first pod needs them, as on a node that ran the stack before.

    Raises:
        LabError: the node could not pull one.
    """
    with progress.step("pull the stack's images onto the node"):
        for image in wanted:
            command = [*CONTAINERD, "images", "pull", "--plain-http", image.reference]
            pulled = subprocess.run(in_node(*command), check=False, capture_output=True, text=True)
            if pulled.returncode != 0:
                raise LabError(f"The node could not pull {image.reference}:\n{pulled.stderr.strip()}")


def in_node(*command: str) -> list[str]:
    """Returns the command that runs another one on the node: in its mounts and its network.

    Raises:
        LabError: no lab is running.
    """
    pid = _pid()
    if pid is None:
        raise LabError("No lab is running: `make lab-up`.")
    inside = ["nsenter", f"--target={_node_pid(pid)}", "--mount"]
    return [*inside, "nsenter", "--net=/run/netns/node", *command]


def in_pod(address: str, *command: str) -> list[str]:
    """Returns the command that runs one of the machine in a pod's network: the lab's images have no shell to run it in.

    Raises:
        LabError: no lab is running, or no pod has that address.
    """
    look = (
        'for space in /run/netns/cni-*; do nsenter --net=$space ip -4 -o address | grep -q " $0/" && echo $space; done'
    )
    listed = subprocess.run(in_node("sh", "-c", look, address), check=False, capture_output=True, text=True)
    found = listed.stdout.split()
    if len(found) != 1:
        raise LabError(f"{len(found)} pods have the address {address}.")
    return in_node("nsenter", f"--net={found[0]}", *command)


def _node_pid(pid: int) -> int:
    """Returns the machine's number of the node's process 1: the one child of `unshare`."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def stop() -> bool:
    """Ends the lab, or what a killed one left, and removes all of it but the cache.

    Returns:
        Whether there was anything to remove.

    Raises:
        LabError: something of the lab could not be removed in time.
    """
    found = STATE.exists() or is_running()
    kill()
    _clear_the_way()
    if node.MADE_FOLDERS.exists():
        for folder in map(Path, node.MADE_FOLDERS.read_text().splitlines()):
            # Other programs may have put files into it by now.
            with contextlib.suppress(OSError):
                folder.rmdir()
    if STATE.exists():
        shutil.rmtree(STATE)
    return found


def kill() -> None:
    """Ends the lab at once, if one runs, as a power cut would. `start` resumes with what it held."""
    pid = _pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL)
    _until(f"process {pid} ends", lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid))


def _is_zombie(pid: int) -> bool:
    try:
        reaped, _ = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return False
    return reaped == pid


def _clear_the_way() -> None:
    """Removes what a killed lab leaves: its cgroups, and its link, which the kernel keeps while closed sockets age."""
    if Path(f"/sys/class/net/{HOST_INTERFACE}").exists():
        # The kernel may remove it between the check and the command.
        subprocess.run(["ip", "link", "delete", HOST_INTERFACE], check=False, capture_output=True)
    _until(f"the interface {HOST_INTERFACE} is gone", lambda: not Path(f"/sys/class/net/{HOST_INTERFACE}").exists())
    _until("the lab's cgroups are empty", _remove_cgroups)


def _remove_cgroups() -> bool:
    left = False
    for root in node.cgroup_roots():
        group = root / configuration.CGROUP
        folders = [folder for folder in group.rglob("*") if folder.is_dir()] if group.exists() else []
        for folder in [*sorted(folders, key=lambda folder: -len(folder.parts)), group]:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                left = True
    return not left


def _until(what: str, done: Callable[[], bool]) -> None:
    wait_until(done, f"Waited {STOP_LIMIT_SECONDS} s until {what}, without success.", seconds=STOP_LIMIT_SECONDS)


def _wait(what: str, ready: Callable[[], bool], alive: Callable[[], None]) -> None:
    late = f"{what} was not ready within {START_LIMIT_SECONDS} s. The logs: {NODE_LOGS}"
    wait_until(ready, late, seconds=START_LIMIT_SECONDS, pause=0.2, alive=alive)


def _registry_answers() -> bool:
    try:
        return httpx2.get(f"http://{images.REGISTRY_ADDRESS}/v2/", timeout=1, trust_env=False).is_success
    except httpx2.HTTPError:
        return False


def kubectl_command(*arguments: str) -> list[str]:
    """Returns the command that runs kubectl against the lab."""
    return [str(version.kubernetes().folder / "kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments]


def kubectl(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs kubectl against the lab, with `text` as its input."""
    return subprocess.run(kubectl_command(*arguments), check=False, capture_output=True, text=True, input=text)


def _succeeds(*arguments: str, text: str | None = None) -> bool:
    return kubectl(*arguments, text=text).returncode == 0


def _apply_cluster_dns(alive: Callable[[], None]) -> None:
    manifest = (Path(__file__).parent / "manifests" / "coredns.yaml").read_text()
    _apply(manifest.replace("COREDNS_IMAGE", images.coredns_image().reference), alive)


def _apply(document: str, alive: Callable[[], None]) -> None:
    _wait("the API server", lambda: _succeeds("apply", "--filename=-", text=document), alive)
