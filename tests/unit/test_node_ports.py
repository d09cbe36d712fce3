"""Tests of the configured NodePorts: free ones, and ones that others hold or the cluster does not give."""

from typing import Any

from tests.unit.fake_api import Object, Said, listed, missing, refused
from tests.unit.fake_cluster import OWN, checked, refusal, service, settings

PORTS: dict[str, Any] = {"nginx": {"nodePort": 30080}, "tempo": {"nodePort": 40000}}


RANGE = (
    'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 40000: provided port is not in the valid range. '
)


TAKEN = 'Service "x" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated'


def of_ports(query: dict[str, list[str]], tried: Object) -> Said:
    # An API server that took the Service would keep it, and a dry run does not tell the range.
    assert (tried["spec"]["sessionAffinity"], query) == ("Preflight", {})
    (port,) = tried["spec"]["ports"]
    if port["nodePort"] == 40000:
        return refused(422, f"{RANGE}The range of valid ports is 30000-32767")
    return refused(422, TAKEN)


def test_both_ports_are_judged_at_once_by_holder_and_by_the_range_that_the_api_server_tells() -> None:
    answers = {
        "POST /api/v1/namespaces/shared/services": of_ports,
        "GET /api/v1/services": listed(service("shop", "web", 30080)),
    }
    assert refusal(settings(**PORTS), answers) == (
        "  nginx-tracing:nginx.nodePort = 30080\n"
        "    is held by the Service shop in the namespace web\n"
        "    kubectl --namespace web get service shop\n"
        "    pulumi config rm --path nginx.nodePort, and the cluster chooses one\n"
        "\n"
        "  nginx-tracing:tempo.nodePort = 40000\n"
        "    is not among the ports that this cluster gives, which are 30000-32767\n"
        "    pulumi config rm --path tempo.nodePort, and the cluster chooses one"
    )


def test_a_port_that_is_free_is_let_pass_without_a_word(warnings: list[str]) -> None:
    checked(settings(nginx={"nodePort": 30080}))
    assert warnings == []


def test_a_port_that_the_stack_s_own_service_holds_is_its_own() -> None:
    own = service("nginx", "shared", 30080, {**OWN, "app.kubernetes.io/name": "nginx"})
    answers = {"POST /api/v1/namespaces/shared/services": of_ports, "GET /api/v1/services": listed(own)}
    checked(settings(nginx={"nodePort": 30080}), **answers)


def test_a_service_of_that_name_which_is_not_the_stack_s_is_another() -> None:
    answers = {
        "POST /api/v1/namespaces/shared/services": of_ports,
        "GET /api/v1/services": listed(service("nginx", "shared", 30080)),
    }
    assert "is held by the Service nginx in the namespace shared\n" in refusal(
        settings(nginx={"nodePort": 30080}), answers
    )


def test_a_port_for_a_load_balancer_s_health_is_held_as_well() -> None:
    balancer = service("edge", "web", 31000, healthCheckNodePort=30080)
    answers = {"POST /api/v1/namespaces/shared/services": of_ports, "GET /api/v1/services": listed(balancer)}
    assert "is held by the Service edge in the namespace web" in refusal(settings(nginx={"nodePort": 30080}), answers)


def test_before_the_namespace_is_there_the_port_is_tried_in_default() -> None:
    answers: dict[str, Any] = {
        "GET /api/v1/namespaces/shared": missing("shared"),
        "POST /api/v1/namespaces/shared/services": missing("shared"),
        "POST /api/v1/namespaces/default/services": of_ports,
        "GET /api/v1/services": refused(403, "services is forbidden"),
    }
    said = refusal(settings(createNamespace=True, nginx={"nodePort": 30080}), answers)
    assert "    is held by another Service\n    kubectl get services --all-namespaces | grep 30080\n" in said


def test_a_port_that_may_not_be_tried_is_warned_of(warnings: list[str]) -> None:
    forbidden = refused(403, 'services is forbidden: User "me" cannot create resource "services"')
    checked(settings(nginx={"nodePort": 30080}), **{"POST /api/v1/namespaces/shared/services": forbidden})
    (said,) = warnings
    assert said.startswith("the program could not check that these NodePorts are free: nginx.nodePort = 30080 (")
