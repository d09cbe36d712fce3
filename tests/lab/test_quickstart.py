"""Tests `make up` with its demo, and `make down`, on a cluster of the caller's own.

Each set of versions goes through it, so this builds the Collector that `make up` does not.

The cluster stays. It is the lab under another name: a copy of its kubeconfig. `test_lab.py` has the same commands, a
second `make up` and `make probe` on the lab, which `make up` starts and `make down` removes.
"""

import re
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest
import yaml

from lab.cluster import lifecycle
from lab.cluster.lifecycle import kubectl
from lab.paths import BIN, KUBECONFIG, REPOSITORY
from lab.stack import STACK_FILES
from tests.lab.checkout import Checkout
from tests.lab.conftest import LITTLE_CPU, connects, provide, remove_namespaces
from tests.lab.neighbours import address

NAMESPACE = "tracing-quickstart"


# The other set goes the same way with another image of the Collector, which test_versions.py runs, too.
@pytest.fixture(params=["current", pytest.param("tutorial", marks=pytest.mark.deep)])
def checkout(lab: None, request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Checkout]:
    """Yields a copy of the checkout whose dev stack has the lab's images of a set and a namespace of this test."""
    provide(request, request.param)
    remove_namespaces(NAMESPACE, wait=True)
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copyfile(KUBECONFIG, kubeconfig)
    path = f"{BIN}:{Path(REPOSITORY, '.venv', 'bin')}"
    made = Checkout.copy(tmp_path / "checkout", KUBECONFIG=str(kubeconfig))
    made = Checkout(made.folder, {**made.environment, "PATH": f"{path}:{made.environment['PATH']}"})
    document = yaml.safe_load((made.folder / STACK_FILES[request.param]).read_text())
    document["config"]["nginx-tracing:namespace"] = NAMESPACE
    for component in ("nginx", "collector", "tempo"):
        document["config"][f"nginx-tracing:{component}"]["resources"] = {"cpu": LITTLE_CPU}
    (made.folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump(document))
    try:
        yield made
    finally:
        remove_namespaces(NAMESPACE)


def test_up_and_down_on_a_cluster_that_stays(checkout: Checkout) -> None:
    said = checkout.make("up")
    assert f"Cluster: your cluster (KUBECONFIG={checkout.environment['KUBECONFIG']})" in said
    assert re.search(r"^20 requests to http://\S+/demo/: \d+ answered with 200", said, re.MULTILINE), said
    assert re.search(r"^Every trace is whole: 5 spans, of nginx, demo-shop and demo-stock", said, re.MULTILINE), said
    assert re.search(r"^the slowest trace: 5 spans of nginx, demo-shop, demo-stock", said.strip(), re.MULTILINE), said
    assert re.search(r"^Demo    http://\S+/demo/$", said, re.MULTILINE), said
    the_demo_s_pods_connect_to_their_next_hop_alone()
    checkout.make("down")
    assert kubectl("get", "namespace", NAMESPACE).stderr.strip().endswith("not found")
    assert lifecycle.is_running()
    assert "Nothing is up: nothing to do." in checkout.make("down")


def the_demo_s_pods_connect_to_their_next_hop_alone() -> None:
    """Tries the connections that the demo's network policies allow, and others."""
    nginx, shop, stock, collector = (
        address(component, NAMESPACE) for component in ("nginx", "demo-shop", "demo-stock", "otel-collector")
    )
    assert connects(nginx, shop, 8080)
    assert connects(shop, stock, 8080)
    assert connects(stock, collector, 4317)
    assert not connects(nginx, stock, 8080)
    assert not connects(stock, shop, 8080)
    assert not connects(collector, shop, 8080)
    assert not connects(shop, collector, 8888), "the counters, which take everybody whose own policy lets him out"
