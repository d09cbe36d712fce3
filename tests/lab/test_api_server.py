"""Tries every golden object in a dry run of a real API server.

The objects go to namespaces of these tests and ask for node ports that others do not: the stack of `make up` may be
there, with the names and the ports of the golden files.
"""

import json
from collections.abc import Generator
from typing import Any

import pytest

from lab.cluster.lifecycle import kubectl
from tests import golden
from tests.lab.conftest import remove_namespaces
from tests.processes import Shared

CASES = golden.cases()

POD_MONITORS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "podmonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
"""Defines the kind without the Prometheus Operator's own schema, so the fields of a PodMonitor are not checked."""


def own(namespace: str) -> str:
    """Returns the namespace of these tests that stands for one in the golden files."""
    return f"readers-{namespace}"


@pytest.fixture(scope="module")
def namespaces(lab: None, shared: Shared) -> Generator[None]:
    """Makes every case's namespace, because a dry run needs it to exist."""
    names = {
        item["metadata"]["namespace"]
        for case in CASES
        for item in golden.objects(case).values()
        if "namespace" in item["metadata"]
    }
    # Those that the stack does not make have no labels.
    made: dict[str, dict[str, Any]] = {
        name: {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(names)
    }
    for case in CASES:
        if of_the_case := golden.objects(case).get("Namespace-namespace.yaml"):
            made[of_the_case["metadata"]["name"]] = of_the_case
    for namespace in made.values():
        namespace["metadata"]["name"] = own(namespace["metadata"]["name"])
    mine = [namespace["metadata"]["name"] for namespace in made.values()]
    remove_namespaces(*mine, wait=True)
    # Other tests list all kinds, and would fail if one disappeared meanwhile.
    with shared.locked("kinds"):
        try:
            for item in (POD_MONITORS, *made.values()):
                applied = kubectl("apply", "--filename=-", text=json.dumps(item))
                assert applied.returncode == 0, applied.stderr
            established = ("wait", "--for=condition=Established", f"crd/{POD_MONITORS['metadata']['name']}")
            assert kubectl(*established).returncode == 0
            yield
        finally:
            kubectl("delete", "crd", POD_MONITORS["metadata"]["name"])
            remove_namespaces(*mine)


FREE_NODE_PORTS = range(30_040, 30_060)
"""Kubernetes gives the first 86 ports of its range only on request, as long as others are free."""


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_every_object_without_a_warning(case: str, namespaces: None) -> None:
    objects = [item for item in golden.objects(case).values() if item["kind"] not in {"Namespace", "Image"}]
    ports = iter(FREE_NODE_PORTS)
    for item in objects:
        item["metadata"]["namespace"] = own(item["metadata"]["namespace"])
        asked_for: list[dict[str, Any]] = item["spec"]["ports"] if item["kind"] == "Service" else []
        for port in [each for each in asked_for if "nodePort" in each]:
            port["nodePort"] = next(ports)
        if item["kind"] == "Secret":
            # Masked in the file; what is in it must be of the Secret's type.
            item["stringData"] = dict.fromkeys(item["stringData"], '{"auths": {}}')
    everything = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    taken = kubectl("apply", "--dry-run=server", "--validate=strict", "--filename=-", text=everything)
    # Kubernetes 1.32 knows no other name for it.
    warnings = [line for line in taken.stderr.splitlines() if 'use "PreferSameZone"' not in line]
    assert (taken.returncode, warnings) == (0, []), taken.stderr
    assert len(taken.stdout.splitlines()) == len(objects)
