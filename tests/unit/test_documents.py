"""Tests of the configuration files that the deployed programs read."""

import re
from typing import Any

import pytest

from components.documents import Document
from components.documents.collector import (
    certificate_files,
    collector_document,
    not_proxied,
    proxy_url,
    secret_files,
)
from components.documents.nginx import exporter_conf, nginx_conf, upstreams_conf
from components.documents.tempo import tempo_document
from settings import CollectorSettings, NginxSettings, TempoSettings
from settings.collector import ExporterProxy
from settings.limits import Exports
from settings.nginx_syntax import quoted, snippet
from settings.plus import PlusSettings
from tests import golden


def conf(**changed: Any) -> str:
    settings = NginxSettings.model_validate(changed)
    return nginx_conf(settings, exporter="otel-collector.tracing.svc:4317", namespace="tracing")


def upstreams(**changed: Any) -> str:
    return upstreams_conf(NginxSettings.model_validate(changed), "tracing")


def collector(backend: str | None = "tempo:4317", **changed: Any) -> Document:
    settings = CollectorSettings.model_validate(changed)
    return collector_document(settings, backend=backend, namespace="tracing", exports=Exports(512, 25_600))


def tempo(**changed: Any) -> Document:
    return tempo_document(TempoSettings.model_validate(changed))


def location(path: str, text: str) -> str:
    """Returns the directives of a location, a line each."""
    (inside,) = re.findall(rf'location (?:= )?"{re.escape(path)}" {{\n(.*?)\n        }}', text, re.DOTALL)
    return "\n".join(line.strip() for line in inside.splitlines())


def leaves(document: Any, path: str = "") -> dict[str, Any]:
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, value in document.items():  # pyright: ignore[reportUnknownVariableType]
            found |= leaves(value, f"{path}.{key}")
        return found
    return {path: document}


@pytest.mark.parametrize("document", [tempo(), collector(sampling={"tail": {}})])
def test_every_duration_has_a_unit(document: Document) -> None:
    names = re.compile(r"(timeout|interval|period|duration|elapsed_time|retention|exhausted)$")
    durations = {path: value for path, value in leaves(document).items() if names.search(path)}
    assert durations
    for path, value in durations.items():
        assert re.fullmatch(r"\d+(ms|s|m|h)", str(value)), path


def test_the_collector_limits_its_memory_before_anything_holds_spans() -> None:
    pipeline = collector()["service"]["pipelines"]["traces"]
    assert pipeline["processors"][0] == "memory_limiter"


def test_the_collector_uses_every_component_that_it_declares_and_declares_all_that_it_uses() -> None:
    document = collector()
    pipeline = document["service"]["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(document[kind]) == set(pipeline[kind])
    assert set(document["extensions"]) == set(document["service"]["extensions"])


def test_the_collector_never_gives_up_a_batch_that_the_backend_may_take_later() -> None:
    exporter = collector()["exporters"]["otlp/tempo"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["endpoint"] == "tempo:4317"


def test_a_persistent_queue_holds_an_export_before_anything_gathers_it() -> None:
    document = collector(queue={"storage": "persistent", "size": "1Gi"}, distribution="k8s")
    assert document["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter"]
    queue = document["exporters"]["otlp/tempo"]["sending_queue"]
    assert queue == {"storage": "file_storage", "queue_size": 2**30 // (512 * 1024)}
    assert document["receivers"]["otlp"]["protocols"]["grpc"]["max_recv_msg_size_mib"] == 16
    assert document["extensions"]["file_storage"] == {"directory": "/var/lib/otelcol"}
    assert "file_storage" in document["service"]["extensions"]


def test_single_traces_of_tail_sampling_are_gathered_before_a_persistent_queue() -> None:
    document = collector(
        queue={"storage": "persistent", "size": "1Gi"},
        distribution="k8s",
        sampling={"tail": {"errors": True}},
        batch={"size": 1024},
    )
    assert document["service"]["pipelines"]["traces"]["processors"] == ["memory_limiter", "tail_sampling", "batch"]
    assert document["exporters"]["otlp/tempo"]["sending_queue"]["queue_size"] == 2**30 // (1024 * 1024)


@pytest.mark.parametrize("backend", ["tempo:4317", None])
def test_the_volume_is_shared_by_the_queues_of_all_exporters(backend: str | None) -> None:
    exporters = {"vendor": {"endpoint": "otlp.vendor.example:4317"}}
    settings = {"queue": {"storage": "persistent", "size": "1Gi"}, "distribution": "k8s", "exporters": exporters}
    document = collector(backend=backend, **settings)
    sizes = [exporter["sending_queue"]["queue_size"] for exporter in document["exporters"].values()]
    assert sizes == [2**30 // (512 * 1024) // len(sizes)] * (2 if backend else 1)


def test_connections_age_where_another_replica_could_take_them() -> None:
    grpc = collector()["receivers"]["otlp"]["protocols"]["grpc"]
    assert grpc["keepalive"]["server_parameters"]["max_connection_age"] == "60s"
    assert "keepalive" not in collector(replicas=1)["receivers"]["otlp"]["protocols"]["grpc"]


def test_tempo_has_no_silent_limit_of_live_traces_and_tells_the_collector_to_retry() -> None:
    document = tempo()
    assert document["overrides"]["defaults"]["ingestion"]["max_traces_per_user"] == 0
    assert document["distributor"]["retry_after_on_resource_exhausted"] == "1s"
    assert document["usage_report"]["reporting_enabled"] is False


def test_tempo_s_receiver_is_reachable_from_other_pods() -> None:
    assert tempo()["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"


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


def test_every_exporter_of_the_collector_has_a_queue_of_its_own_and_keeps_what_is_not_taken() -> None:
    document = collector(
        exporters={
            "a": {"endpoint": "https://a.example:4317", "headers": {"api-key": "secret"}},
            "b": {"endpoint": "http://b.example:4318", "protocol": "http", "tls": {"enabled": False}},
        }
    )
    exporters = document["exporters"]
    assert list(exporters) == ["otlp/tempo", "otlp/a", "otlphttp/b"]
    assert [exporter["endpoint"] for exporter in exporters.values()] == [
        "tempo:4317",
        "a.example:4317",
        "http://b.example:4318",
    ]
    for exporter in exporters.values():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
        # In bytes: what the memory limiter leaves of 500 MiB.
        assert exporter["sending_queue"]["sizer"] == "bytes"
        assert exporter["sending_queue"]["queue_size"] == 300 * 2**20
    assert exporters["otlp/a"]["headers"] == {"api-key": "${file:/etc/otelcol-secrets/a.api-key}"}
    assert "tls" not in exporters["otlp/a"], "the default is TLS with the image's authorities"


def test_the_collector_looks_up_the_pod_before_spans_of_connections_are_mixed() -> None:
    processors = list(
        collector(distribution="k8s", kubernetesAttributes=True, sampling={"tail": {"ratio": "0.1"}})["processors"]
    )
    assert processors == ["memory_limiter", "k8sattributes", "tail_sampling", "batch"]


def test_a_dollar_in_a_secret_header_means_nothing_to_the_collector() -> None:
    settings = CollectorSettings.model_validate(
        {"exporters": {"a": {"endpoint": "a:1", "headers": {"key": "$HOME ${env:HOME}"}}}}
    )
    assert secret_files(settings.exporters) == {"a.key": "$$HOME $${env:HOME}"}


def test_headers_are_sent_in_lower_case_and_configured_in_any() -> None:
    exporters = {"a": {"endpoint": "a:1", "headers": {"X-Scope-OrgID": "team-a"}}}
    document = collector(exporters=exporters)
    assert document["exporters"]["otlp/a"]["headers"] == {
        "x-scope-orgid": "${file:/etc/otelcol-secrets/a.x-scope-orgid}"
    }
    settings = CollectorSettings.model_validate({"exporters": exporters})
    assert secret_files(settings.exporters) == {"a.x-scope-orgid": "team-a"}
    exporter = NginxSettings.model_validate({"exporter": {"headers": {"X-Scope-OrgID": "team-a"}}}).exporter
    assert 'header "x-scope-orgid" "team-a";' in exporter_conf(exporter, endpoint="a:1")


def test_no_header_has_the_file_of_a_client_key() -> None:
    plus = golden.configuration("plus")
    tls = {"clientCertificate": plus["nginxRepoCrt"], "clientKey": plus["nginxRepoKey"]}
    headers = {"client-key.pem": "x", "key": "x", "_client-key.pem": "x"}
    with pytest.raises(ValueError, match="header's name"):
        CollectorSettings.model_validate({"exporters": {"a": {"endpoint": "a:1", "headers": headers}}})
    del headers["_client-key.pem"]
    exporters = {name: {"endpoint": "a:1", "headers": headers, "tls": tls} for name in ("a", "a-client")}
    settings = CollectorSettings.model_validate({"exporters": exporters})
    assert len(secret_files(settings.exporters)) == 6
    assert len(certificate_files(settings.exporters)) == 2


def test_what_is_in_the_cluster_goes_past_the_proxy() -> None:
    exporters = {"a": {"endpoint": "tempo.web.svc.:4317"}, "b": {"endpoint": "b.vendor.example:1"}}
    proxy = {"url": "http://proxy.example:3128", "exclude": ["10.0.0.0/8"]}
    settings = CollectorSettings.model_validate({"exporters": exporters, "proxy": proxy})
    assert not_proxied(settings).split(",") == [
        "$(KUBERNETES_SERVICE_HOST)", ".svc", ".cluster.local", "tempo.web.svc.", "10.0.0.0/8",
    ]  # fmt: skip


def test_a_login_of_the_proxy_is_part_of_its_url_whatever_is_in_it() -> None:
    proxy = ExporterProxy.model_validate({"url": "http://proxy.example:1", "username": "a@b", "password": "c:/d%$"})
    assert proxy_url(proxy) == "http://a%40b:c%3A%2Fd%25%24@proxy.example:1"
