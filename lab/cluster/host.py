"""Checks what the lab needs of the machine (root, Linux, free ports and addresses), and installs Debian's packages."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.cluster.network import HOST_ADDRESS, PREFIX_LENGTH, REGISTRY_PORT
from lab.errors import LabError
from lab.progress import Progress

PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "catatonit": "catatonit",
    "cc": "gcc",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables": "iptables",
    "nsenter": "util-linux",
    "skopeo": "skopeo",
    "ss": "iproute2",
    "strip": "binutils",
    "sysctl": "procps",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/include/openssl/ssl.h": "libssl-dev",
    "/usr/include/pcre2.h": "libpcre2-dev",
    "/usr/include/stdio.h": "libc6-dev",
    "/usr/include/zlib.h": "zlib1g-dev",
    "/usr/lib/llvm-*/lib/libclang.so*": "libclang-dev",
}
"""By program, or file, that must be there: Debian's package with it."""

PLUS_PACKAGES = {"debootstrap": "debootstrap", "dpkg-deb": "dpkg", "gpg": "gnupg", "make": "make"}
"""The packages that tests of NGINX Plus need besides: see `lab.stand_ins.plus_repository`."""


def require_root(command: str) -> None:
    """Raises `LabError` unless this is root on Linux."""
    if sys.platform != "linux":
        raise LabError(
            "The embedded lab runs on Linux only. Elsewhere, install kind and start Docker, or name a cluster of your "
            "own: `KUBECONFIG=~/.kube/config make up`."
        )
    if os.geteuid() != 0:
        raise LabError(
            "The embedded lab needs root: it makes network namespaces, mounts and cgroups. "
            f'Run `sudo env "PATH=$PATH" make {command}`, or install kind and start Docker, or name a cluster: '
            "`KUBECONFIG=~/.kube/config make up`."
        )


def install_packages(progress: Progress, packages: Mapping[str, str] = PACKAGES) -> None:
    """Installs those of Debian's packages whose programs are missing.

    Args:
        progress: shows the installation.
        packages: by program, or file: the package with it.

    Raises:
        LabError: the machine has no apt-get, or it failed.
    """
    missing = sorted({package for what, package in packages.items() if not _is_there(what)})
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise LabError(
            f"Missing on this machine: {', '.join(missing)} (Debian's names). The lab installs them with apt-get, "
            "which is not here: install them with the package manager of this distribution and run it again."
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with progress.step(f"install Debian packages: {' '.join(missing)}"):
        for command in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
            if done.returncode != 0:
                last_lines = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
                raise LabError(f"`{' '.join(command)}` exited with {done.returncode}:\n{last_lines}")


def _is_there(what: str) -> bool:
    if what.startswith("/"):
        return any(Path("/").glob(what.lstrip("/")))
    return shutil.which(what) is not None


def require_free_port() -> None:
    """Raises `LabError` when something else listens where the registry will."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", REGISTRY_PORT))
        except OSError as error:
            raise LabError(
                f"Port {REGISTRY_PORT} on localhost is taken ({error.strerror}). The lab's image registry needs it: "
                f"the lab's images are named localhost:{REGISTRY_PORT}/lab/….\n"
                f"The program that has it: {_listener() or 'not visible from here'}\n"
                "Stop that program and run the same command again."
            ) from error


def _listener() -> str:
    command = ["ss", "-Hltnp", f"sport = :{REGISTRY_PORT}"]
    listed = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return " ".join(listed.split())


def require_free_address() -> None:
    """Raises `LabError` when the lab's range is in use on this machine."""
    command = ["ip", "-o", "address", "show", "to", f"{HOST_ADDRESS}/{PREFIX_LENGTH}"]
    used = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if used:
        raise LabError(
            f"The lab's address range {HOST_ADDRESS}/{PREFIX_LENGTH} is in use on this machine: {used.strip()}"
        )
