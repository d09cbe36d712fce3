"""Tests which images follow names, what a name may be, and the ports of URLs."""

from typing import Any

import pytest

from settings import NginxSettings
from settings.upstreams import full_name, service_of
from settings.versions.nginx import follows_names
from tests.unit.test_bad_input import refusal


@pytest.mark.parametrize(
    ("image", "follows"),
    [
        ("nginx:1.27.3-otel", True),
        ("nginx:1.30.4-otel", True),
        ("nginxinc/nginx-unprivileged:1.28.0-alpine-otel", True),
        ("registry.example/mirror/nginx:1.26.3-otel", False),
        ("nginx:1.27.2-otel", False),
        ("nginx:stable-otel", None),
        ("nginx:1.29-otel", True),
        ("nginx:1.27-otel", True),
        ("nginx:1.26-otel", False),
        (f"nginx@sha256:{'0' * 64}", None),
        ("registry.example/edge:1.2.3", None),
    ],
)
def test_an_image_s_tag_tells_whether_its_nginx_follows_names(image: str, follows: bool | None) -> None:
    assert follows_names(image) is follows


@pytest.mark.parametrize(
    ("host", "name", "service"),
    [
        ("web", "web.tracing.svc.corp.example", ("web", "tracing")),
        ("Web.Shop.svc", "web.shop.svc.corp.example", ("web", "shop")),
        ("web.shop.svc.cluster.local", "web.shop.svc.cluster.local", ("web", "shop")),
        ("web-0.web.shop.svc", "web-0.web.shop.svc.corp.example", None),
        ("api.shop.example", "api.shop.example", None),
        ("shop.example", "shop.example", None),
        ("partner.dev.", "partner.dev", None),
    ],
)
def test_a_name_is_made_whole(host: str, name: str, service: tuple[str, str] | None) -> None:
    assert full_name(host, "tracing", "corp.example") == name
    assert service_of(host, "tracing") == service


@pytest.mark.parametrize(
    ("written", "host", "port", "tls"),
    [
        ("https://api.shop.example", "api.shop.example", 443, True),
        ("https://api.shop.example/", "api.shop.example", 443, True),
        ("http://api.shop.example", "api.shop.example", 80, False),
        ("http://[2001:db8::1]", "2001:db8::1", 80, False),
        ("[2001:db8::1]:8080", "2001:db8::1", 8080, False),
        ("https://api.shop.example:8443", "api.shop.example", 8443, True),
    ],
)
def test_an_upstream_that_is_a_url_has_the_port_of_its_scheme(written: str, host: str, port: int, tls: bool) -> None:
    upstream = NginxSettings.model_validate({"routes": [{"path": "/", "upstream": written}]}).routes[0].upstream
    assert upstream
    assert (upstream.host, upstream.port, upstream.tls) == (host, port, tls)


_PRIVATE = {"service": "api", "namespace": "shop", "port": 8443, "tls": True}


@pytest.mark.parametrize(
    "nginx",
    [
        {"routes": [{"path": "/", "upstream": "http://api.shop.example:443"}]},
        {"routes": [{"path": "/", "upstream": "http://192.0.2.1:8443"}]},
        {"routes": [{"path": "/", "upstream": {"service": "api", "port": 8443, "tls": False}}]},
        {"routes": [{"path": "/", "upstream": "https://api.shop.example"}]},
        {"routes": [{"path": "/", "upstream": _PRIVATE, "extraConfig": "proxy_ssl_verify off;"}]},
        {"routes": [{"path": "/", "upstream": _PRIVATE}], "extraConfig": {"server": "proxy_ssl_name shop.example;"}},
        {"routes": [{"path": "/", "upstream": _PRIVATE}], "image": "registry.example/own/nginx:1.27.4-otel"},
    ],
    ids=str,
)
def test_plain_http_to_a_port_of_https_and_a_service_without_an_authority_are_taken_if_they_are_chosen(
    nginx: dict[str, Any],
) -> None:
    assert refusal({"nginx": nginx}, []) == ""


@pytest.mark.parametrize("endpoint", ["http://otlp.vendor.example:443", "https://otlp.vendor.example:443"])
def test_an_endpoint_with_a_scheme_may_have_a_port_of_https(endpoint: str) -> None:
    elsewhere = {"nginx": {"exporter": {"endpoint": endpoint}}, "collector": {"enabled": False}}
    assert refusal(elsewhere | {"tempo": {"enabled": False}}, []) == ""
