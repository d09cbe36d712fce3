"""Writes the configuration files of the node's programs into the state folder."""

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from lab.build.images import pause_image
from lab.cluster.certificates import Authority
from lab.cluster.network import (
    API_PORT,
    API_SERVICE_ADDRESS,
    DNS_ADDRESS,
    NODE_ADDRESS,
    NODE_NAME,
    NODE_POD_RANGE,
    REGISTRY_PORT,
)
from lab.paths import KUBECONFIG, REGISTRY_STORAGE, STATE

PKI = STATE / "pki"
CGROUP = "nginx-tracing-lab"
"""The cgroup above those of all pods, by which `lab down` knows the lab's."""

CLIENTS = {
    "admin": ("lab-admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", None),
    "kube-scheduler": ("system:kube-scheduler", None),
    "kube-proxy": ("system:kube-proxy", None),
    # Its own ClusterRole is in its DaemonSet's manifests, which the lab does not use.
    "kube-router": ("kube-router", "system:masters"),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
}


def write_all() -> None:
    """Writes what a new cluster needs. It makes certificates once, and keeps them until `lab down`."""
    STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (PKI / "complete").exists():
        _write_certificates()
        (PKI / "complete").touch()
    for client in CLIENTS:
        _kubeconfig(KUBECONFIG if client == "admin" else STATE / f"{client}.kubeconfig", client)
    _write(STATE / "containerd.toml", _CONTAINERD.format(state=STATE, pause=pause_image().reference))
    _write_yaml(STATE / "registry.yaml", _registry())
    _write(STATE / "resolv.conf", "")
    _write(STATE / "cni" / "10-lab.conflist", json.dumps(_CNI, indent=1))
    _write_yaml(STATE / "kubelet.yaml", _kubelet())


def _write_certificates() -> None:
    authority = Authority.create(PKI)
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    hosts = (*names, API_SERVICE_ADDRESS, NODE_ADDRESS, "127.0.0.1")
    authority.issue("kube-apiserver", "kube-apiserver", hosts=hosts)
    authority.issue("kube-apiserver-kubelet", "kube-apiserver-kubelet", "system:masters")
    authority.issue("service-account", "service-account")
    for client, (user, group) in CLIENTS.items():
        authority.issue(client, user, group)


def _kubeconfig(file: Path, client: str) -> None:
    cluster = {
        "server": f"https://{NODE_ADDRESS}:{API_PORT}",
        "certificate-authority-data": _base64(PKI / "ca.crt"),
    }
    user = {
        "client-certificate-data": _base64(PKI / f"{client}.crt"),
        "client-key-data": _base64(PKI / f"{client}.key"),
    }
    _write_yaml(
        file,
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "nginx-tracing-lab", "cluster": cluster}],
            "users": [{"name": client, "user": user}],
            "contexts": [{"name": "nginx-tracing-lab", "context": {"cluster": "nginx-tracing-lab", "user": client}}],
            "current-context": "nginx-tracing-lab",
        },
    )


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)


def _write_yaml(file: Path, document: dict[str, Any]) -> None:
    _write(file, yaml.safe_dump(document, sort_keys=False))


def _registry() -> dict[str, Any]:
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(REGISTRY_STORAGE)}, "delete": {"enabled": True}},
        "http": {"addr": f"127.0.0.1:{REGISTRY_PORT}"},
    }


def _kubelet() -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(PKI / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        # The node's network namespace may not reach the machine's own resolver.
        "resolvConf": str(STATE / "resolv.conf"),
        "failSwapOn": False,
        # From 1.35 on kubelet refuses cgroup v1 by default.
        "failCgroupV1": False,
        "volumePluginDir": str(STATE / "volume-plugins"),
        "podLogsDir": str(STATE / "pod-logs"),
        # Absolute sizes: a percentage of a developer's disk says nothing about the space that the lab needs.
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
        # The default is five minutes, in which pods would wait for a disk that has space again.
        "evictionPressureTransitionPeriod": "10s",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # Pods see their new configuration and the lab its readiness within a second.
        "nodeStatusUpdateFrequency": "4s",
        "syncFrequency": "10s",
    }


_CNI: dict[str, Any] = {
    "cniVersion": "0.4.0",
    "name": "lab",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            # Pods reach this machine under the node's address, as pods of other clusters reach what is outside.
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-addresses",
                "ranges": [[{"subnet": NODE_POD_RANGE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_CONTAINERD = """version = 2
root = "{state}/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Where CAP_SYS_RESOURCE is missing, lowering a score below the parent's fails every sandbox.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
