"""Runs the lab's node, as process 1 of a pid namespace of its own: starts its programs and stays until it is killed.

`lab up` starts it with `unshare --pid --mount`. Everything of the lab therefore ends with this one process, however it
ends: processes with the pid namespace, mounts with the mount namespace, and with its last mount the network namespace,
its interfaces and its iptables rules. Do not run it by hand.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from lab.build.targets import KUBE_ROUTER, REGISTRY
from lab.cluster.configuration import CGROUP, PKI
from lab.cluster.network import (
    API_PORT,
    HOST_ADDRESS,
    HOST_INTERFACE,
    NODE_ADDRESS,
    NODE_NAME,
    POD_RANGE,
    PREFIX_LENGTH,
    SERVICE_RANGE,
)
from lab.cluster.version import kubernetes as kubernetes_target
from lab.cluster.volumes import SMALL_MEBIBYTES, small_folders
from lab.paths import NODE_LOGS, STATE

NAMESPACE = "/run/netns/node"
KUBELET_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
"""Settings that kubelet would make for the whole machine. Files of the lab show it these values instead."""

COVERED = (Path("/run"), Path("/var/log"), Path("/var/lib/cni"), Path("/var/lib/kubelet"))
"""Folders that containerd, CNI and kubelet write to whatever they are told.

The node makes those that are missing, and notes them in `MADE_FOLDERS`; `lab down` removes them.
"""

MADE_FOLDERS = STATE / "made-folders"

RESTART_SECONDS = 2.0
"""Our choice: the pause before a program that ended is started again."""


@dataclass(frozen=True)
class Program:
    """A long-running program of the node."""

    name: str
    command: list[str]
    in_node: bool = True
    """Whether it runs in the node's network namespace, rather than the machine's."""


Running = tuple[Program, subprocess.Popen[bytes]]
"""A program and its process, which is kept: Python reaps those without a reference, and the loop would wait in vain."""


def programs() -> list[Program]:
    """Returns the programs of the node, in the order of their start. Each one waits for what it needs by itself."""
    kubernetes = kubernetes_target().folder
    registry = [str(REGISTRY.folder / "registry"), "serve", str(STATE / "registry.yaml")]
    return [
        # Two registries on one storage: the machine pushes images and the node pulls them, both as localhost:5000.
        Program("registry-host", registry, in_node=False),
        Program("registry-node", registry),
        Program("containerd", ["containerd", "--config", str(STATE / "containerd.toml")]),
        Program(
            "etcd",
            [str(kubernetes / "etcd"), f"--data-dir={STATE}/etcd", "--unsafe-no-fsync", "--log-level=warn"],
        ),
        Program("kube-apiserver", _api_server(kubernetes)),
        Program(
            "kube-controller-manager",
            [str(kubernetes / "kube-controller-manager"), *_client("kube-controller-manager")]
            + [
                "--use-service-account-credentials",
                f"--service-account-private-key-file={PKI}/service-account.key",
            ]
            + [f"--root-ca-file={PKI}/ca.crt", "--leader-elect=false"]
            + [
                "--allocate-node-cidrs",
                f"--cluster-cidr={POD_RANGE}",
                f"--service-cluster-ip-range={SERVICE_RANGE}",
            ],
        ),
        Program(
            "kube-scheduler",
            [str(kubernetes / "kube-scheduler"), *_client("kube-scheduler"), "--leader-elect=false"],
        ),
        Program(
            "kubelet",
            [
                str(kubernetes / "kubelet"),
                f"--config={STATE}/kubelet.yaml",
                f"--kubeconfig={STATE}/kubelet.kubeconfig",
            ]
            + [f"--root-dir={STATE}/kubelet", f"--cert-dir={STATE}/kubelet-pki"]
            + [f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_ADDRESS}"],
        ),
        Program(
            "kube-proxy",
            [str(kubernetes / "kube-proxy"), f"--kubeconfig={STATE}/kube-proxy.kubeconfig"]
            + [f"--hostname-override={NODE_NAME}", f"--cluster-cidr={POD_RANGE}", "--proxy-mode=iptables"]
            # The table of connections belongs to the machine, and the lab does not change its size.
            + ["--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0"]
            + ["--conntrack-tcp-timeout-close-wait=0"],
        ),
        # It enforces NetworkPolicies, which the bridge plugin does not know; others do routes and Services here.
        Program(
            "kube-router",
            [str(KUBE_ROUTER.folder / "kube-router"), f"--kubeconfig={STATE}/kube-router.kubeconfig"]
            + [f"--hostname-override={NODE_NAME}", "--run-firewall=true", "--run-router=false"]
            + ["--run-service-proxy=false", "--run-loadbalancer=false", "--enable-cni=false"],
        ),
    ]


def _client(name: str) -> list[str]:
    kubeconfig = f"{STATE}/{name}.kubeconfig"
    return [
        f"--{flag}={kubeconfig}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    ]


def _api_server(kubernetes: Path) -> list[str]:
    return [
        str(kubernetes / "kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        "--kubelet-preferred-address-types=InternalIP",
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/kube-apiserver.crt",
        f"--tls-private-key-file={PKI}/kube-apiserver.key",
        f"--kubelet-client-certificate={PKI}/kube-apiserver-kubelet.crt",
        f"--kubelet-client-key={PKI}/kube-apiserver-kubelet.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/service-account.crt",
        f"--service-account-signing-key-file={PKI}/service-account.key",
    ]


def main() -> None:
    """Makes the node and keeps its programs running until a signal ends it."""
    _own_mounts()
    _own_network()
    _own_cgroup()
    # The kernel drops signals to process 1 that it has no handler for: SIGTERM would be lost.
    signal.signal(signal.SIGTERM, _end)
    running: dict[int, Running] = {}

    def start(program: Program) -> None:
        process = _start(program)
        running[process.pid] = (program, process)

    for program in programs():
        start(program)
    _supervise(running, start)


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _supervise(running: dict[int, Running], start: Callable[[Program], None]) -> None:
    """Starts programs again that ended, as an init system would, and reaps the orphans that process 1 inherits."""
    while True:
        pid, status = os.wait()
        ended = running.pop(pid, None)
        if ended is None:
            continue
        program, _ = ended
        code = os.waitstatus_to_exitcode(status)
        print(f"{program.name} ended with {code}; starting it again. Its log: {_log(program)}", flush=True)
        time.sleep(RESTART_SECONDS)
        start(program)


def _start(program: Program) -> subprocess.Popen[bytes]:
    command = program.command if not program.in_node else ["nsenter", f"--net={NAMESPACE}", *program.command]
    with _log(program).open("a") as log:
        # Nothing waits for it here: the loop above reaps every child.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=STATE,
        )


def _log(program: Program) -> Path:
    return NODE_LOGS / f"{program.name}.log"


def _own_mounts() -> None:
    """Mounts folders over the fixed places that programs write to, and files over the machine's kernel settings."""
    NODE_LOGS.mkdir(parents=True, exist_ok=True)
    for folder in COVERED:
        if not folder.exists():
            folder.mkdir()
            with MADE_FOLDERS.open("a") as made:
                made.write(f"{folder}\n")
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "lab", str(folder))
    for folder in small_folders():
        _run("mount", "-t", "tmpfs", "-o", f"size={SMALL_MEBIBYTES}m,mode=755", "lab", folder)
    sysctls = STATE / "sysctls"
    sysctls.mkdir(exist_ok=True)
    for name, value in KUBELET_SYSCTLS.items():
        shown = sysctls / name.replace("/", ".")
        shown.write_text(f"{value}\n")
        _run("mount", "--bind", str(shown), f"/proc/sys/{name}")


def _own_network() -> None:
    _run("ip", "netns", "add", "node")
    _run("ip", "link", "add", HOST_INTERFACE, "type", "veth", "peer", "name", "eth0", "netns", "node")
    _run("ip", "address", "add", f"{HOST_ADDRESS}/{PREFIX_LENGTH}", "dev", HOST_INTERFACE)
    _run("ip", "link", "set", HOST_INTERFACE, "up")
    inside = ("nsenter", f"--net={NAMESPACE}")
    _run(*inside, "ip", "link", "set", "lo", "up")
    _run(*inside, "ip", "address", "add", f"{NODE_ADDRESS}/{PREFIX_LENGTH}", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    # Components look for the interface of the default route. It leads nowhere beyond the machine, which forwards
    # nothing.
    _run(*inside, "ip", "route", "add", "default", "via", HOST_ADDRESS)
    _run(*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1")


def _own_cgroup() -> None:
    for controller in cgroup_roots():
        group = controller / CGROUP
        group.mkdir(exist_ok=True)
        # cgroup v1: a cpuset without cores and memory takes no process.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group / setting).exists() and not (group / setting).read_text().strip():
                (group / setting).write_text((controller / setting).read_text())
        # The weight of as many programs as there are cores, in cgroup v1 and v2. With less, the threads of a single
        # load generator outside would weigh more than the whole cluster, and measurements would show them take turns.
        for setting, of_one in (("cpu.shares", 1024), ("cpu.weight", 100)):
            if (group / setting).exists():
                # cgroup v2 takes up to 10000.
                (group / setting).write_text(str(min(of_one * (os.cpu_count() or 1), 10_000)))


def cgroup_roots() -> list[Path]:
    """Returns the root of each cgroup hierarchy: one for each controller in version 1, a single one in version 2."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(fields[1]) for fields in mounts if fields[2] in {"cgroup", "cgroup2"}]


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
