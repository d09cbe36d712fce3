"""Tests of the stack's outputs, and of the Services and the node that their URLs name."""

import json
from collections.abc import Callable

import pulumi
import pytest

from components.cluster.kubeconfig import ClusterUnreachableError
from components.cluster.nodes import NodeAddressError
from settings.versions import SETS
from tests.unit.conftest import Run


def test_the_outputs_name_the_urls_the_ports_and_what_runs(run_program: Run) -> None:
    assert run_program().outputs == {
        "nginxUrl": "http://192.0.2.7:31000",
        "tempoUrl": "http://192.0.2.7:31000",
        "nginxNodePort": 31000,
        "tempoNodePort": 31000,
        "namespace": "tracing",
        "edition": "oss",
        "nginxImage": SETS["current"].nginx_image,
    }


CLUSTER_IP = '{"service": {"type": "ClusterIP"}}'


LOAD_BALANCER = '{"service": {"type": "LoadBalancer"}}'


def test_inside_the_cluster_the_urls_are_those_of_the_services_and_there_is_no_node_port(run_program: Run) -> None:
    outputs = run_program({"nginx": CLUSTER_IP, "tempo": CLUSTER_IP, "namespace": "shop"}).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == ("http://nginx.shop.svc", "http://tempo.shop.svc:3100")
    assert not {"nginxNodePort", "tempoNodePort"} & outputs.keys()


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ({"ip": "203.0.113.5"}, "203.0.113.5"),
        ({"ip": "2001:db8::5"}, "[2001:db8::5]"),
        ({"hostname": "abc.elb.example"}, "abc.elb.example"),
        # The name goes before the address: the cloud may move it to another address.
        ({"ip": "203.0.113.5", "hostname": "abc.elb.example"}, "abc.elb.example"),
    ],
)
def test_a_load_balancer_s_urls_have_the_address_that_it_was_given(
    address: dict[str, str], host: str, run_program: Run
) -> None:
    outputs = run_program({"nginx": LOAD_BALANCER, "tempo": LOAD_BALANCER}, balancer=address).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == (f"http://{host}", f"http://{host}:3100")
    assert (outputs["nginxNodePort"], outputs["tempoNodePort"]) == (31000, 31000)


@pytest.mark.parametrize("preview", [True, False])
def test_a_load_balancer_without_an_address_gives_no_url_rather_than_a_wrong_one(
    preview: bool, run_program: Run
) -> None:
    outputs = run_program({"nginx": LOAD_BALANCER, "tempo": LOAD_BALANCER}, preview=preview).outputs
    assert (outputs["nginxUrl"], outputs["tempoUrl"]) == ("unknown", "unknown")


def test_load_balancers_are_awaited_so_that_their_address_is_known(run_program: Run) -> None:
    services = run_program({"nginx": LOAD_BALANCER}).inputs("Service")
    assert "pulumi.com/skipAwait" not in services["nginx"]["metadata"].get("annotations", {})
    assert services["tempo"]["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"


def test_with_allowed_addresses_nodes_do_not_hide_the_client_s(run_program: Run) -> None:
    service = '{"service": {"type": "%s", "allowedAddresses": ["203.0.113.0/24"]}}'
    services = run_program({"nginx": service % "NodePort", "tempo": service % "LoadBalancer"}).inputs("Service")
    assert [services[name]["spec"]["externalTrafficPolicy"] for name in ("nginx", "tempo")] == ["Local", "Local"]
    assert services["tempo"]["spec"]["loadBalancerSourceRanges"] == ["203.0.113.0/24"]
    assert "loadBalancerSourceRanges" not in services["nginx"]["spec"]
    open_to_all = run_program().inputs("Service")
    assert "externalTrafficPolicy" not in open_to_all["nginx"]["spec"]


def test_an_address_that_is_configured_goes_before_the_node_s_and_ipv6_is_in_brackets(run_program: Run) -> None:
    def never() -> str:
        pytest.fail("the program asked the cluster for nothing")

    program = run_program({"nodeAddress": "fd00::7", "nginx": '{"nodePort": 30080}'}, node=never)
    assert program.outputs["nginxUrl"] == "http://[fd00::7]:30080"


def test_a_first_preview_does_not_publish_the_dry_run_s_port(run_program: Run) -> None:
    outputs = run_program({"tempo": '{"nodePort": 30310}'}, preview=True).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == ("unknown", "unknown")
    assert (outputs["tempoUrl"], outputs["tempoNodePort"]) == ("http://192.0.2.7:30310", 30310)


def test_a_service_without_a_node_port_yet_gives_no_url_rather_than_a_wrong_one(run_program: Run) -> None:
    """Previews of a change from ClusterIP know the Service, and not the port that it will get."""
    outputs = run_program(node_ports=False).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == ("unknown", "unknown")


def failing(error: type[Exception]) -> Callable[[], str]:
    def fail() -> str:
        raise error("connection refused")

    return fail


@pytest.mark.parametrize(
    ("address", "url"), [({}, "unknown"), ({"nodeAddress": "192.0.2.9"}, "http://192.0.2.9:30080")]
)
def test_a_preview_without_a_cluster_says_so_and_has_the_urls_that_it_can_know(
    address: dict[str, str], url: str, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    configuration = {"nginx": '{"nodePort": 30080}', **address}
    outputs = run_program(configuration, preview=True, node=failing(ClusterUnreachableError)).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == (url, 30080)
    (said,) = warnings
    assert said.startswith(
        "the cluster cannot be reached: connection refused\nThis preview compares with what Pulumi remembers"
    )


def test_a_preview_may_be_of_a_cluster_whose_nodes_may_not_be_read(run_program: Run) -> None:
    configuration = {"nginx": '{"nodePort": 30080}', "nodeAddress": "192.0.2.9"}
    outputs = run_program(configuration, preview=True, node=failing(NodeAddressError)).outputs
    assert outputs["nginxUrl"] == "http://192.0.2.9:30080"


def test_an_up_without_a_cluster_creates_nothing_and_says_how_to_name_one(run_program: Run) -> None:
    with pytest.raises(pulumi.RunError) as error:
        run_program(node=failing(ClusterUnreachableError))
    assert str(error.value) == (
        "no cluster can be reached, and nothing was created: connection refused\n"
        "  Name one that is running: export KUBECONFIG=<file>, or pulumi config set kubernetes:context <context>"
    )


@pytest.mark.parametrize("preview", [False, True])
def test_nodes_that_may_not_be_read_ask_for_the_address(run_program: Run, preview: bool) -> None:
    with pytest.raises(pulumi.RunError) as error:
        run_program(preview=preview, node=failing(NodeAddressError))
    assert str(error.value) == (
        "the address for the stack's URLs cannot be read from the cluster's nodes: connection refused\n"
        "  Give it: pulumi config set nodeAddress <host name or IP address of a node>"
    )


RENDERED = {"kubernetes:renderYamlToDirectory": "manifests", "nodeAddress": "192.0.2.9"}


def never() -> str:
    """Fails the test: nothing may ask for a node."""
    pytest.fail("the program asked a cluster")


@pytest.mark.parametrize("preview", [False, True])
def test_rendering_to_files_asks_no_cluster_and_has_the_outputs_that_are_known(
    preview: bool, run_program: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    configuration = {**RENDERED, "nginx": '{"nodePort": 30080}', "cluster": "https://192.0.2.8:6443"}
    outputs = run_program(configuration, preview=preview, node=never).outputs
    assert (outputs["nginxUrl"], outputs["nginxNodePort"]) == ("http://192.0.2.9:30080", 30080)
    assert not {"tempoUrl", "tempoNodePort"} & set(outputs)
    (said,) = warnings
    assert "writes Secrets in plain text" in said


def test_rendering_to_files_tells_of_services_that_no_cluster_was_asked_about(
    run_program: Run, warnings: list[str]
) -> None:
    routes = [{"path": "/", "upstream": {"service": "vm", "namespace": "shop", "port": 80}}]
    configuration = {**RENDERED, "nginx": json.dumps({"routes": routes})}
    run_program(configuration, node=never)
    assert warnings[1].startswith("no cluster is asked about vm.shop.svc: network policies let NGINX connect to pods")
    run_program(configuration | {"networkPolicies": "false"}, node=never)
    assert len(warnings) == 3


def test_rendering_to_files_without_an_address_is_an_error(run_program: Run) -> None:
    with pytest.raises(pulumi.RunError, match="pulumi config set nodeAddress <host name or IP address of a node>"):
        run_program({"kubernetes:renderYamlToDirectory": "manifests"}, node=never)


def test_rendering_services_inside_the_cluster_needs_no_address_of_a_node(run_program: Run) -> None:
    inside = '{"service": {"type": "ClusterIP"}}'
    rendered = {"kubernetes:renderYamlToDirectory": "manifests", "nginx": inside, "tempo": inside}
    assert run_program(rendered, node=never).outputs["nginxUrl"] == "http://nginx.tracing.svc"
