"""Tests of the cluster that a kubeconfig leads to: its nodes, and the errors about another cluster."""

import asyncio
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from lightkube.config.kubeconfig import KubeConfig

from components.cluster.api import Api
from components.cluster.identity import check_cluster
from components.cluster.kubeconfig import ClusterUnreachableError, KubeconfigError, read_config, read_server
from components.cluster.nodes import NodeAddressError, read_node_address
from settings.general import Resources
from tests.unit.conftest import Serve
from tests.unit.fake_api import NOWHERE, FakeApi, Said, kubeconfig, listed, refused

Node = dict[str, Any]


def node(ready: str, **addresses: str) -> Node:
    return {
        "metadata": {"name": "n"},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
        },
    }


Start = Callable[[Said], str]


@pytest.fixture
def api_server(serve: Serve) -> Start:
    """Starts an API server with an answer to the list of nodes. Returns the kubeconfig's text."""
    return lambda nodes: serve(FakeApi({"GET /api/v1/nodes": nodes})).kubeconfig


def node_address(kubeconfig: str, context: str | None, *asked: Any) -> str:
    async def read() -> str:
        async with Api(kubeconfig, context) as api:
            return await read_node_address(api, *asked)

    return asyncio.run(read())


def test_a_ready_node_s_external_address_goes_before_any_internal_one(api_server: Start) -> None:
    nodes = [
        node("False", ExternalIP="192.0.2.1"),
        node("True", InternalIP="10.0.0.2"),
        node("True", InternalIP="10.0.0.3", ExternalIP="192.0.2.3"),
    ]
    assert node_address(api_server(listed(*nodes)), None) == "192.0.2.3"
    assert node_address(api_server(listed(*nodes[:2])), None) == "10.0.0.2"


def test_no_ready_node_and_a_refusal_are_told_apart_from_no_cluster(api_server: Start) -> None:
    with pytest.raises(NodeAddressError, match="none of its 1 nodes is Ready and has an address"):
        node_address(api_server(listed(node("False", InternalIP="10.0.0.1"))), None)
    with pytest.raises(NodeAddressError, match="nodes is forbidden") as refusal:
        node_address(api_server(refused(403, "nodes is forbidden")), None)
    assert not isinstance(refusal.value, ClusterUnreachableError)


def test_nodes_that_take_no_pods_are_named_with_the_reason(api_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    full, fine = node("True", InternalIP="10.0.0.2"), node("True", InternalIP="10.0.0.3")
    full["status"]["conditions"].append({"type": "DiskPressure", "status": "True"})
    assert node_address(api_server(listed(full, fine)), None) == "10.0.0.2"
    assert warnings == []
    node_address(api_server(listed(full)), None)
    assert warnings == [
        "no node of the cluster takes new pods: n has DiskPressure. Pods that this update needs will not start until "
        "a node recovers; see `kubectl describe node n`"
    ]


def test_a_pod_that_is_larger_than_any_node_and_a_selector_of_none_are_warned_of(
    api_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    small, large = node("True", InternalIP="10.0.0.2"), node("True", InternalIP="10.0.0.3")
    small["status"]["allocatable"] = {"cpu": "1900m", "memory": "8000000Ki"}
    large["status"]["allocatable"] = {"cpu": "4", "memory": "8000000Ki"}
    large["metadata"]["labels"] = {"pool": "large"}
    asked = [("nginx", Resources(cpu="4")), ("tempo", Resources(cpu="2", memory="16Gi"))]
    server = api_server(listed(small, large))
    assert node_address(server, None, {}, asked) == "10.0.0.2"
    assert warnings == [
        "tempo.resources.memory = 16Gi is more than any node has. The largest has 8000000Ki: the pod will find no "
        "node. pulumi config set --path tempo.resources.memory <less>"
    ]
    warnings.clear()
    node_address(server, None, {"pool": "small"}, asked)
    assert warnings == [
        "no Ready node has the labels pool=small of `scheduling.nodeSelector`; see kubectl get nodes --show-labels"
    ]
    warnings.clear()
    # The program counts no node that the selector leaves out.
    small["metadata"]["labels"] = {"pool": "small"}
    node_address(api_server(listed(small, large)), None, {"pool": "small"}, asked[:1])
    assert [said.split(" is more")[0] for said in warnings] == ["nginx.resources.cpu = 4"]


def test_of_several_files_the_one_with_the_context_is_taken(api_server: Start, tmp_path: Path) -> None:
    (tmp_path / "one").write_text(kubeconfig(NOWHERE))
    (tmp_path / "two").write_text(api_server(listed(node("True", InternalIP="10.0.0.2"))).replace("only", "second"))
    assert node_address(f"{tmp_path}/one:{tmp_path}/two", "second") == "10.0.0.2"


def test_contents_may_be_json_on_one_line(api_server: Start) -> None:
    text = json.dumps(yaml.safe_load(api_server(listed(node("True", InternalIP="10.0.0.2")))))
    assert node_address(text, None) == "10.0.0.2"


def test_a_server_that_does_not_answer_is_no_cluster() -> None:
    with pytest.raises(ClusterUnreachableError, match="Connection refused"):
        node_address(kubeconfig(NOWHERE), None)


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ('users: [{name: u, user: {token: "hunter2}}]\n', "it is no YAML"),
        ("user: *hunter2\n", "it is no YAML from line 1 on"),
        ("{", "it is no YAML from line"),
    ],
)
def test_of_a_kubeconfig_that_is_no_yaml_the_place_is_said_and_nothing_that_is_written_there(
    broken: str, where: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(broken)
    for given in (str(tmp_path / "config"), f"{broken}\n"):
        for read in (read_server, node_address):
            with pytest.raises(ClusterUnreachableError) as refusal:
                read(given, None)
            assert where in str(refusal.value)
            assert "hunter2" not in "".join(traceback.format_exception(refusal.value))


def test_a_server_that_is_no_address_and_a_file_that_may_not_be_read_are_no_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ClusterUnreachableError, match="no usable kubeconfig: Port could not be cast"):
        read_server(kubeconfig("https://10.0.0.1:64x43"), None)
    with pytest.raises(KubeconfigError, match="the program cannot use the kubeconfig"):
        node_address(kubeconfig("https://10.0.0.1:64x43"), None)
    (tmp_path / "config").write_text(kubeconfig("https://10.0.0.1:6443"))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The system refuses the root user nothing, and tests may run as root.
    monkeypatch.setattr(KubeConfig, "from_file", denied)
    for read in (read_server, node_address):
        with pytest.raises(ClusterUnreachableError, match="Permission denied"):
            read(str(tmp_path / "config"), None)


def test_a_missing_file_and_context_are_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnreachableError, match="missing cannot be read"):
        node_address(str(tmp_path / "missing"), None)
    with pytest.raises(ClusterUnreachableError, match="Context 'other' not found"):
        node_address(kubeconfig(NOWHERE), "other")


@pytest.mark.parametrize("text", ["", "just text", "clusters: []\ncontexts: [{name: a}]\ncurrent-context: a\n"])
def test_a_file_that_is_no_kubeconfig_is_told_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken").write_text(text)
    with pytest.raises(KubeconfigError, match="the program cannot use the kubeconfig"):
        node_address(str(tmp_path / "broken"), None)


@pytest.mark.parametrize("server", ["https://192.0.2.1:6443", "https://192.0.2.1:6443/", "HTTPS://192.0.2.1:6443"])
def test_the_stack_s_own_cluster_is_let_pass_however_it_is_written(server: str) -> None:
    check_cluster(server, kubeconfig=kubeconfig("https://192.0.2.1:6443"), context=None)


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    "other", ["https://192.0.2.2:6443", "https://192.0.2.1", "https://192.0.2.1:6443/k8s/clusters/c-1"]
)
def test_another_cluster_is_refused_with_the_command_that_chooses_it(
    other: str, preview: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)
    with pytest.raises(pulumi.RunError) as refusal:
        check_cluster("https://192.0.2.1:6443", kubeconfig=kubeconfig(other, "staging"), context="staging")
    assert str(refusal.value).splitlines() == [
        "this is not the stack's cluster; nothing was changed.",
        "",
        '  nginx-tracing:cluster = "https://192.0.2.1:6443"',
        f"    the context staging leads to {other}",
        "    pulumi config set kubernetes:context <a context of https://192.0.2.1:6443>",
        f"    or, for a stack that has no resources yet: pulumi config set cluster {other}",
    ]


def test_without_a_kubeconfig_a_preview_warns_and_an_up_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    nowhere = str(tmp_path / "none")
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    check_cluster("https://192.0.2.1:6443", kubeconfig=nowhere, context=None)
    (said,) = warnings
    assert said.startswith(
        "this preview did not check that the cluster is https://192.0.2.1:6443: no usable kubeconfig"
    )
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(pulumi.RunError, match="the program cannot check that the cluster is"):
        check_cluster("https://192.0.2.1:6443", kubeconfig=nowhere, context=None)


def test_a_stack_that_names_no_cluster_takes_any() -> None:
    check_cluster(None, kubeconfig="/nowhere", context=None)


def test_a_pod_without_a_kubeconfig_uses_its_own_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    account = KubeConfig.from_service_account
    for name, text in (("token", "t"), ("namespace", "ci"), ("ca.crt", "")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(KubeConfig, "from_service_account", lambda: account(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    assert read_config(None, None).cluster.server == "https://10.96.0.1:443"
