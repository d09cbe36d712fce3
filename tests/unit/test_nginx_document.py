"""Tests nginx.conf with tracing, and the upstreams that it includes."""

import re
from typing import Any

import pytest

from components.documents.nginx import nginx_conf
from components.documents.nginx_upstreams import upstreams_conf
from components.documents.tempo_gateway import gateway_conf
from settings import NginxSettings
from settings.nginx_directives import directives
from settings.nginx_syntax import quoted, snippet
from settings.nginx_tree import Directive, parse
from settings.plus import PlusSettings


def conf(**changed: Any) -> str:
    settings = NginxSettings.model_validate(changed)
    return nginx_conf(settings, exporter="otel-collector.tracing.svc:4317", namespace="tracing")


def upstreams(**changed: Any) -> str:
    return upstreams_conf(NginxSettings.model_validate(changed), "tracing")


def location(path: str, text: str) -> str:
    """Returns the directives of a location, a line each."""
    (inside,) = re.findall(rf'location (?:= )?"{re.escape(path)}" {{\n(.*?)\n        }}', text, re.DOTALL)
    return "\n".join(line.strip() for line in inside.splitlines())


def test_nginx_shows_dropped_records_and_traces_all_but_the_health_checks() -> None:
    text = conf()
    assert "error_log /dev/stderr notice;" in text
    traced, health = text.split("# For the probes of Kubernetes")
    assert "otel_trace $traced_by_parent_or_at_1;" in traced
    assert "otel_trace_context propagate;" in traced
    assert "otel_trace" not in health
    assert "user " not in re.sub("#.*", "", text).replace("user_", ""), "an unprivileged process cannot change its user"


def test_nginx_exports_at_least_twice_a_second() -> None:
    matched = re.search(r"interval (\d+)ms;", conf())
    assert matched
    assert int(matched[1]) <= 500


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("shop", '"shop"'),
        ('a "b" c', r'"a \"b\" c"'),
        ("a; } server {", '"a; } server {"'),
        ("back\\slash", r'"back\\slash"'),
    ],
)
def test_no_text_leaves_its_place_in_nginx_conf(name: str, written: str) -> None:
    assert f"otel_service_name {written};" in conf(serviceName=name)


@pytest.mark.parametrize("text", ["a\rb", "a\x00b", "a\x1bb", "a\u2028b"])
def test_text_that_does_not_print_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be printable"):
        quoted(text)


@pytest.mark.parametrize(
    ("sampling", "directive"),
    [
        ({"ratio": 1, "parentBased": False}, "otel_trace on;"),
        ({"ratio": 0, "parentBased": False}, "otel_trace off;"),
        ({"ratio": "0.001", "parentBased": False}, "otel_trace $traced_at_0_001;"),
        ({"ratio": 0}, "otel_trace $traced_by_parent_or_at_0;"),
    ],
)
def test_sampling_without_a_choice_needs_no_variable(sampling: dict[str, Any], directive: str) -> None:
    text = conf(sampling=sampling)
    assert f"        {directive}\n" in text
    assert ("split_clients" in text) == (sampling["ratio"] == "0.001")


SAMPLED: list[dict[str, Any]] = [
    {"path": "/a", "root": "/srv", "sampling": {"ratio": "0.5"}},
    {"path": "/b", "root": "/srv", "sampling": {"ratio": 1}},
]


@pytest.mark.parametrize("plus", [None, {"samplingRatios": ["0.01", "0.5", 1]}])
@pytest.mark.parametrize("parent_based", [True, False])
@pytest.mark.parametrize("trace_context", ["propagate", "ignore"])
def test_each_variable_that_decides_about_a_trace_is_made_once(
    plus: dict[str, Any] | None, parent_based: bool, trace_context: str
) -> None:
    sampling = {"ratio": "0.1", "parentBased": parent_based}
    settings = NginxSettings.model_validate({"sampling": sampling, "routes": SAMPLED, "traceContext": trace_context})
    of_plus = PlusSettings.model_validate(plus) if plus else None
    text = nginx_conf(settings, exporter="otel-collector:4317", namespace="tracing", plus=of_plus)
    variable = r"\$(?:traced|makes)_\w+"
    made = re.findall(rf"(?:map|split_clients) (?:\S+|\".*\") ({variable}) {{", text)
    assert sorted(made) == sorted(set(re.findall(variable, text)))


def test_the_log_decides_as_the_route_does_by_its_snippet_its_key_and_then_the_snippets_around_it() -> None:
    routes = [
        {"path": "/around", "root": "/srv"},
        {"path": "/key", "root": "/srv", "sampling": {"ratio": 1, "parentBased": False}},
        {"path": "/own", "root": "/srv", "extraConfig": "otel_trace $arg_own;"},
    ]
    text = conf(traceContext="ignore", routes=routes, extraConfig={"server": "otel_trace $arg_around;"})
    formats = {path: re.findall(r"access_log \S+ (\S+)", location(path, text)) for path in ("/around", "/key", "/own")}
    assert formats == {"/around": [], "/key": ["traced_on"], "/own": ["traced_arg_own"]}
    assert "access_log /dev/stdout traced_arg_around " in text
    assert re.findall(r"map (\S+) \$makes_span_\w+ {", text) == ["$arg_around", "on", "$arg_own"]


def test_a_ratio_is_written_in_percent_and_once_for_all_routes_that_have_it() -> None:
    routes = [{"path": path, "root": "/srv", "sampling": {"ratio": "0.001"}} for path in ("/a", "/b")]
    text = conf(sampling={"ratio": "0.001"}, routes=routes)
    assert text.count("split_clients $otel_trace_id $traced_at_0_001 {\n        0.1% on;\n        * off;") == 1
    assert text.count("otel_trace $traced_by_parent_or_at_0_001;") == 3


def test_a_route_that_is_not_traced_says_so_and_one_with_attributes_repeats_the_server_s() -> None:
    routes = [
        {"path": "/healthz", "match": "exact", "return": {"status": 204}, "traced": False},
        {"path": "/", "root": "/srv", "spanAttributes": {"b": "2"}, "spanName": "$request_method /"},
    ]
    text = conf(spanAttributes={"a": "1"}, routes=routes)
    assert "otel_trace off;" in location("/healthz", text)
    assert 'otel_span_attr "a" "1";\notel_span_attr "b" "2";' in location("/", text)
    assert 'otel_span_name "$request_method /";' in location("/", text)


def test_an_upstream_in_https_is_spoken_to_by_its_name_and_its_certificate_is_checked() -> None:
    inside = location("/", conf(routes=[{"path": "/", "upstream": "https://api.example:8443"}]))
    for directive in (
        "proxy_pass https://to_api.example_3a8443;",
        "proxy_set_header Host api.example;",
        "proxy_ssl_name api.example;",
        "proxy_ssl_server_name on;",
        "proxy_ssl_verify on;",
    ):
        assert directive in inside


def test_upstreams_are_named_by_their_address_and_those_that_look_alike_are_kept_apart() -> None:
    addresses = ["a-b:80", "a.b:80", "[2001:db8::1]:80", "a-b:80"]
    routes = [{"path": f"/{number}", "upstream": address} for number, address in enumerate(addresses)]
    text = conf(routes=[*routes, {"path": "/s", "upstream": {"service": "a", "port": 80}}], resolver={"follow": False})
    assert re.findall(r"upstream (\S+) {\n        server (\S+);", text) == [
        ("to_a-b_3a80", "a-b:80"),
        ("to_a.b_3a80", "a.b:80"),
        ("to_2001_3adb8_3a_3a1_3a80", "[2001:db8::1]:80"),
        ("to_a.tracing.svc_3a80", "a.tracing.svc:80"),
    ]


def test_an_upstream_that_is_written_in_two_ways_is_one() -> None:
    routes = [{"path": f"/{host}", "upstream": f"{host}:80"} for host in ("shop.example", "Shop.Example")]
    assert re.findall(r"upstream (\S+) {", upstreams(routes=routes)) == ["to_shop.example_3a80"]


def test_a_pod_has_a_part_in_upstreams_with_names_alone() -> None:
    addresses = ["192.0.2.1:80", "[2001:db8::1]:80", "localhost:80", "shop.example:80"]
    routes = [{"path": f"/{number}", "upstream": address} for number, address in enumerate(addresses)]
    assert re.findall(r"server (\S+) resolve ", upstreams(routes=routes)) == ["shop.example:80"]
    assert "include /etc/nginx/upstreams/upstreams.conf;" in conf(routes=routes)
    assert re.findall(r"    server (\S+);", conf(routes=routes)) == addresses[:3]
    assert not upstreams(routes=routes[:3])
    assert "include /etc/nginx/upstreams" not in conf(routes=routes[:3])


def test_with_nameservers_of_the_configuration_a_pod_reads_none() -> None:
    resolver = {"addresses": ["10.96.0.10", "fd00::a"], "clusterDomain": "corp.example"}
    routes = [{"path": "/", "upstream": {"service": "web", "namespace": "shop", "port": 80}}]
    assert not upstreams(routes=routes, resolver=resolver)
    text = conf(routes=routes, resolver=resolver)
    assert "resolver 10.96.0.10 [fd00::a] valid=2s;" in text
    assert "server web.shop.svc.corp.example:80 resolve " in text
    assert "resolver 10.96.0.10 ipv6=off valid=2s;" in conf(routes=routes, resolver={"addresses": ["10.96.0.10"]})
    assert "resolver [fd00::a] ipv4=off valid=2s;" in conf(routes=routes, resolver={"addresses": ["fd00::a"]})


def test_routes_that_are_not_proxied_have_nothing_of_proxies() -> None:
    assert not re.search("passed_|proxy_(?!temp)|realip", conf())


@pytest.mark.parametrize(
    "text",
    [
        "gzip on;",
        "map $a $b { default 1; '}' 2; }",
        'add_header X "a;b}";',
        "# } a comment\ngzip on;",
        r"rewrite ^/a\{b\} /c;",
        "set $a ${b}c;",
        "log_format a 'it'\n  'goes on';",
        "if ($uri ~ ^/a}b) { return 200 a}b; }",
        "set $a ${{b}c;",
        "set $a b;\t# a comment\r\n",
        "",
    ],
)
def test_directives_that_are_whole_are_taken(text: str) -> None:
    assert snippet(text) == text


@pytest.mark.parametrize(
    "text",
    ["gzip on", "}", "location / { return 200;", "a { b }", "a 'b;", "gzip on; } server {"]
    # What NGINX takes for a part of a word, or does not take for space.
    + ["set $a ${b; } server { set $c d};", "a {\u00a0}", "a;\x0c}", "a b\\", "a; b\\;"],
)
def test_directives_that_reach_beyond_their_block_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        snippet(text)


@pytest.mark.parametrize("image", ["nginx:1.27.4-otel", "nginx:1.29.7-otel", "nginx:1.30.7-otel"])
@pytest.mark.parametrize("own", ["", "proxy_http_version 1.0;"])
def test_connections_to_upstreams_do_not_depend_on_nginx_s_defaults(image: str, own: str) -> None:
    route = {"path": "/", "upstream": {"service": "web", "port": 80}, "extraConfig": own}
    text = conf(image=image, routes=[route]) + upstreams(image=image, routes=[route])
    (routed,) = (item for item in all_of(text) if item.name == "location" and item.arguments == ("/",))
    assert [item.arguments for item in routed.inside if item.name == "proxy_http_version"] == [(own[-4:-1] or "1.1",)]
    connection = [item.arguments for item in routed.inside if item.arguments[:1] == ("Connection",)]
    assert connection == [("Connection", "$passed_connection")]
    (upstream,) = (item for item in all_of(text) if item.name == "upstream")
    assert [item.arguments for item in upstream.inside if item.name == "keepalive"] == [("32",)]
    assert [item.arguments for item in upstream.inside if item.name == "keepalive_timeout"] == [("1s",)]


@pytest.mark.parametrize("image", ["nginx:1.27.4-otel", "nginx:1.30.7-otel"])
def test_no_directive_that_nginx_takes_once_is_there_twice(image: str) -> None:
    routes = [{"path": "/", "upstream": {"service": "web", "port": 80}}, {"path": "/a", "upstream": "192.0.2.1:80"}]
    document = (
        conf(image=image, routes=routes) + upstreams(image=image, routes=routes) + gateway_conf(has_password=True)
    )
    for block in all_of(document):
        names = [
            item.name for item in block.inside if item.name in directives() and not directives()[item.name].repeated
        ]
        assert sorted(set(names)) == sorted(names), block.name


def test_an_upstream_of_nginx_plus_has_room_for_as_many_addresses() -> None:
    routed = NginxSettings.model_validate({"routes": [{"path": "/", "upstream": {"service": "web", "port": 80}}]})
    assert " 256k;" in upstreams_conf(routed, "tracing")
    assert " 768k;" in upstreams_conf(routed, "tracing", PlusSettings())


def all_of(text: str) -> list[Directive]:
    return [item for directive in parse(text) for item in (directive, *directive.all_inside())]
