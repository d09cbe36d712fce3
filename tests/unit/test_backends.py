"""Tests of the addresses behind Services without pods, as an API server tells them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components.cluster.api import Api
from components.cluster.backends import Backends, outside_pods
from settings import Settings
from tests.unit.conftest import Run, Serve
from tests.unit.fake_api import NOWHERE, FakeApi, kubeconfig, listed, refused

Objects = dict[str, Any]


@pytest.fixture
def api_server(serve: Serve) -> Callable[[Objects], str]:
    """Starts an API server that has some objects, by their paths, or refuses them. Returns the kubeconfig's text."""

    def start(objects: Objects) -> str:
        answers = {
            f"GET {path}": refused(found, "it is forbidden") if isinstance(found, int) else (200, found)
            for path, found in objects.items()
        }
        return serve(FakeApi({**answers})).kubeconfig

    return start


def service(name: str, **spec: Any) -> Objects:
    named = {"metadata": {"name": name}, "spec": spec, "apiVersion": "v1", "kind": "Service"}
    return {f"/api/v1/namespaces/shop/services/{name}": named}


def slices(*addresses: str, **ports: int) -> Objects:
    piece = {
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": name, "port": number} for name, number in ports.items()],
    }
    return {"/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices": listed(piece)[1]}


def found_outside(settings: Settings, kubeconfig: str) -> Backends:
    async def find() -> Backends:
        async with Api(kubeconfig, None) as api:
            return await outside_pods(settings, api)

    return asyncio.run(find())


def outside(kubeconfig: str, upstream: object, **settings: Any) -> list[tuple[str, int]]:
    made = Settings.model_validate({"nginx": {"routes": [{"path": "/", "upstream": upstream}]}} | settings)
    return list(found_outside(made, kubeconfig).nginx)


WEB = {"service": "web", "namespace": "shop", "port": 80}
HTTP = {"name": "http", "port": 80, "targetPort": 8080}
ADMIN = {"name": "admin", "port": 81, "targetPort": 8081}


@pytest.mark.parametrize(
    ("objects", "allowed"),
    [
        (service("web", selector={"app": "web"}, ports=[HTTP]) | slices("192.0.2.1", http=8080), []),
        ({}, []),
        (
            service("web", ports=[HTTP, ADMIN]) | slices("192.0.2.1", "192.0.2.2", http=8080, admin=8081),
            [("192.0.2.1", 8080), ("192.0.2.2", 8080)],
        ),
        (service("web", clusterIP="None", ports=[HTTP]) | slices("192.0.2.1", http=8080), [("192.0.2.1", 80)]),
        (service("web", type="ExternalName", externalName="db.partner.example"), [("db.partner.example", 80)]),
        (
            service("web", type="ExternalName", externalName="vm.shop.svc.cluster.local")
            | service("vm", clusterIP="None", ports=[HTTP])
            | slices("192.0.2.1", http=80),
            [("vm.shop.svc.cluster.local", 80), ("192.0.2.1", 80)],
        ),
        (
            service("web", type="ExternalName", externalName="web.shop.svc.cluster.local"),
            [("web.shop.svc.cluster.local", 80)],
        ),
    ],
)
def test_backends_that_are_no_pods_are_found(
    api_server: Callable[[Objects], str], objects: Objects, allowed: list[tuple[str, int]]
) -> None:
    kubeconfig = api_server(objects)
    assert outside(kubeconfig, WEB) == allowed
    assert outside(kubeconfig, "Web.shop.svc:80") == allowed
    assert outside(kubeconfig, WEB, networkPolicies=False) == []


def test_a_service_that_must_not_be_read_is_warned_of_once_something_changes(
    api_server: Callable[[Objects], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    assert outside(api_server({"/api/v1/namespaces/shop/services/web": 403}), WEB) == []
    (warning,) = said
    assert warning.startswith("the program cannot read the Service web of the namespace shop, which the configuration ")
    assert "`nginx.egress`" in warning


@pytest.mark.parametrize("text", ["/no/such/file", kubeconfig(NOWHERE), kubeconfig("https://10.0.0.1:64x43"), "{"])
def test_a_cluster_that_cannot_be_asked_stops_nothing(text: str) -> None:
    assert outside(text, WEB) == []


def test_endpoints_that_must_not_be_read_are_warned_of_and_those_of_other_services_are_found(
    api_server: Callable[[Objects], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    forbidden = {"/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices": 403}
    outer = service("db", type="ExternalName", externalName="db.partner.example")
    text = api_server(service("web", ports=[HTTP]) | outer | forbidden)
    made = Settings.model_validate({"nginx": {"egress": ["db.shop.svc:5432", "web.shop.svc:80"]}})
    assert list(found_outside(made, text).nginx) == [("db.partner.example", 5432)]
    (warning,) = said
    assert warning.startswith("the program cannot read the Service web of the namespace shop, which the configuration ")


def test_hosts_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.cluster.backends.read_backends", pytest.fail)
    for host in ("192.0.2.1:80", "[2001:db8::1]:80", "api.shop.example:80", "shop.example:80", "localhost:80"):
        assert outside("", host) == []


def test_every_host_that_a_component_connects_to_is_asked_for(api_server: Callable[[Objects], str]) -> None:
    objects = service("vm", ports=[HTTP]) | slices("192.0.2.1", http=8080)
    kubeconfig = api_server(objects | service("web", type="ExternalName", externalName="web.example"))
    made = Settings.model_validate(
        {
            "nginx": {"egress": ["vm.shop.svc:80"], "exporter": {"endpoint": "https://web.shop.svc:4317"}},
            "collector": {"exporters": {"a": {"endpoint": "http://vm.shop.svc", "protocol": "http"}}},
            "tempo": {"storage": {"type": "s3", "endpoint": "http://vm.shop.svc"}},
        }
    )
    found = found_outside(made, kubeconfig)
    assert list(found.nginx) == [("192.0.2.1", 8080), ("web.example", 4317)]
    assert list(found.collector) == [("192.0.2.1", 8080)]
    assert list(found.tempo) == [("192.0.2.1", 8080)]


def test_what_is_found_is_in_nginx_s_policy(run_program: Run) -> None:
    routes = json.dumps({"routes": [{"path": "/", "upstream": WEB}]})
    program = run_program({"nginx": routes}, found=[("192.0.2.1", 8080), ("db.partner.example", 5000)])
    rules = program.inputs("NetworkPolicy")["nginx"]["spec"]["egress"]
    address = {"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    assert address in rules
    assert {"ports": [{"protocol": "TCP", "port": 5000}]} in rules
