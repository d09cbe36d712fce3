"""Names the folders of the lab: the cache holds what it builds, the state what it runs."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MODULES = REPOSITORY / "lab" / "build" / "modules"

_xdg_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("NGINX_TRACING_CACHE") or _xdg_cache / "nginx-tracing")
"""Built targets, pushed images and build logs. It is outside the checkout, so that all checkouts share it."""

BIN = CACHE / "bin"
"""Links to the programs that people call: pulumi, its plugins and kubectl."""

REGISTRY_STORAGE = CACHE / "registry"

STATE = Path("/var/lib/nginx-tracing-lab")
"""The running cluster: etcd, containerd, kubelet, logs. `lab down` deletes it."""

KUBECONFIG = STATE / "kubeconfig"
NODE_LOGS = STATE / "logs"
