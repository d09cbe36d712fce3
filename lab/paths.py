"""Where the lab keeps what it builds (the cache) and what it runs (the state)."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MODULES = REPOSITORY / "lab" / "build" / "modules"

_xdg_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
CACHE = Path(os.environ.get("NGINX_TRACING_CACHE") or _xdg_cache / "nginx-tracing")
"""Built pieces, pushed images and build logs. Outside the checkout, so that every checkout shares it."""

BIN = CACHE / "bin"
"""Links to the programs that a person calls: pulumi, its plugins and kubectl."""

REGISTRY_STORAGE = CACHE / "registry"

STATE = Path("/var/lib/nginx-tracing-lab")
"""The running cluster: etcd, containerd, kubelet, logs. `lab down` deletes it."""

KUBECONFIG = STATE / "kubeconfig"
NODE_LOGS = STATE / "logs"
