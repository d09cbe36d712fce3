"""Tests how NGINX reaches upstreams: it follows their names, and keeps connections that are safe to use."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.module.conftest import StartApplication
from tests.module.nginx import Nginx
from tests.module.upstream import Dns, proxying, resolved, seen
from tests.otlp import Receiver
from tests.waiting import wait_for

HEADLESS = {"service": "web", "namespace": "shop"}


def test_pods_behind_a_name_are_followed_while_nginx_runs(
    nginx: Nginx, application: StartApplication, receiver: Receiver, dns: Dns
) -> None:
    old = application(address="127.0.0.2")
    name = "web.shop.svc.lab.test"
    dns.names[name] = [old.address]
    routes = [{"path": "/", "upstream": HEADLESS | {"port": old.port}}]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port, dns=dns):
        wait_for("the first pod", lambda: nginx.get().status_code == 200)
        new = application(address="127.0.0.3", port=old.port)
        dns.names[name] = [new.address]
        # The old one stays as long as a pod takes to end, so no request fails.
        moved = time.monotonic()
        while time.monotonic() - moved < 5:
            assert nginx.get().status_code == 200
        old.stop()
        answers = [httpx.post(nginx.url(), content="order") for _ in range(50)]
    assert {(answer.status_code, answer.json()["by"]) for answer in answers} == {(200, new.address)}
    assert dns.asked == {name}


def test_a_name_that_is_not_there_yet_fails_its_own_route_alone_until_it_is(
    nginx: Nginx, application: StartApplication, receiver: Receiver, dns: Dns
) -> None:
    one = application()
    routes: list[dict[str, Any]] = [
        {"path": "/", "upstream": one.host},
        {"path": "/later/", "upstream": HEADLESS | {"port": one.port}},
    ]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port, dns=dns):
        assert nginx.get("/later/").status_code == 502
        assert nginx.get("/").status_code == 200
        dns.names["web.shop.svc.lab.test"] = ["127.0.0.1"]
        wait_for("the name", lambda: nginx.get("/later/").status_code == 200)


def test_a_dead_pod_among_others_costs_no_request(
    nginx: Nginx, application: StartApplication, receiver: Receiver, dns: Dns
) -> None:
    alive = application(address="127.0.0.2")
    dns.names["web.shop.svc.lab.test"] = [alive.address, "127.0.0.3"]
    routes = [{"path": "/", "upstream": HEADLESS | {"port": alive.port}}]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port, dns=dns):
        wait_for("the name", lambda: nginx.get().status_code == 200)
        # A POST as well: NGINX sent no byte of it on the refused connection.
        assert {httpx.post(nginx.url(), content="order").status_code for _ in range(20)} == {200}


def test_an_application_that_is_back_is_reached_at_once(
    nginx: Nginx, application: StartApplication, receiver: Receiver, dns: Dns
) -> None:
    first = application(address="127.0.0.2")
    dns.names["web.shop.svc.lab.test"] = [first.address, "127.0.0.3"]
    routes = [{"path": "/", "upstream": HEADLESS | {"port": first.port}}]
    with proxying(nginx, {"routes": routes}, receiver_port=receiver.port, dns=dns):
        wait_for("the name", lambda: nginx.get().status_code == 200)
        first.stop()
        wait_for("the end of both", lambda: nginx.get().status_code == 502)
        application(address="127.0.0.2", port=first.port)
        # NGINX's default is 10 s.
        wait_for("the first one", lambda: nginx.get().status_code == 200, seconds=5)


@pytest.mark.parametrize(
    ("upstream", "asked"),
    [
        ({"service": "own", "port": 80}, "own.tracing.svc.lab.test"),
        ("own:80", "own.tracing.svc.lab.test"),
        ("Web.Shop.svc:80", "web.shop.svc.lab.test"),
        ("web-0.web.shop.svc:80", "web-0.web.shop.svc.lab.test"),
        ("web.shop.svc.cluster.local:80", "web.shop.svc.cluster.local"),
        ("api.vendor.example:80", "api.vendor.example"),
        ("vendor.example.:80", "vendor.example"),
        ("vendor.com:80", "vendor.com"),
    ],
)
def test_each_name_is_looked_up_whole(nginx: Nginx, receiver: Receiver, dns: Dns, upstream: object, asked: str) -> None:
    with proxying(nginx, {"routes": [{"path": "/", "upstream": upstream}]}, receiver_port=receiver.port, dns=dns):
        wait_for("a query", lambda: dns.asked)
    assert dns.asked == {asked}


TEMPLATE = "    resolver NAMESERVERS valid=2s;\n    server a.b.svc.CLUSTER_DOMAIN:80 resolve; # \\n %s `x` $y\n"


@pytest.mark.parametrize(
    ("resolv_conf", "pod_ips", "resolver", "domain"),
    [
        ("search a.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
         "10.0.0.7", "10.96.0.10 ipv6=off", "cluster.local"),
        ("nameserver fd00::a\nsearch a.svc.corp.example svc.corp.example corp.example", "fd00::7",
         "[fd00::a] ipv4=off", "corp.example"),
        ("# a comment\n\nnameserver\t169.254.20.10\nnameserver fd00::a\nnameserver fe80::1%eth0\n", "10.0.0.7,fd00::7",
         "169.254.20.10 [fd00::a]", "cluster.local"),
        ("search a.svc.ocp.lan. svc.ocp.lan. ocp.lan.\nnameserver 172.30.0.10 \n", "10.0.0.7",
         "172.30.0.10 ipv6=off", "ocp.lan"),
    ],
)  # fmt: skip
def test_a_pod_s_resolv_conf_tells_nameservers_families_and_the_cluster_s_domain(
    tmp_path: Path, resolv_conf: str, pod_ips: str, resolver: str, domain: str
) -> None:
    assert resolved(tmp_path, TEMPLATE, resolv_conf, pod_ips) == TEMPLATE.replace("NAMESERVERS", resolver).replace(
        "CLUSTER_DOMAIN", domain
    )


def test_nginx_uses_no_connection_that_the_application_may_be_closing(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    # As Gunicorn, which closes earlier than the other usual servers.
    one = application(idle=2)
    routes = [{"path": "/", "upstream": one.host}]

    def posts(count: int, keepalive: dict[str, str]) -> list[int]:
        values = {"routes": routes, "upstreamKeepalive": keepalive}
        with (
            proxying(nginx, values, receiver_port=receiver.port),
            httpx.Client() as client,
            ThreadPoolExecutor(count) as pool,
        ):

            def post(_: int) -> int:
                return client.post(nginx.url(), content="order").status_code

            statuses = list(pool.map(post, range(count)))
            for pause in (0.5, 1.05, 2.05, 2.5):
                # The test is about this time between two requests.
                time.sleep(pause)
                statuses += pool.map(post, range(count))
            return statuses

    assert set(posts(20, {})) == {200}
    assert 502 in posts(20, {"idle": "1m"}), "the application would show it"


def test_connections_are_kept_for_requests_that_follow_each_other(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application()
    with (
        proxying(nginx, {"routes": [{"path": "/", "upstream": one.host}]}, receiver_port=receiver.port),
        httpx.Client() as client,
    ):
        for _ in range(50):
            assert "connection" not in seen(client.get(nginx.url()))
    # One connection for each worker.
    assert one.connections <= 2


def test_a_request_without_a_body_is_repeated_on_a_new_connection(
    nginx: Nginx, application: StartApplication, receiver: Receiver
) -> None:
    one = application(idle=0.3)
    values = {"routes": [{"path": "/", "upstream": one.host}], "upstreamKeepalive": {"idle": "1m"}}
    with proxying(nginx, values, receiver_port=receiver.port), httpx.Client() as client:
        assert client.get(nginx.url()).status_code == 200
        time.sleep(0.4)  # The application's limit.
        assert client.get(nginx.url()).status_code == 200
