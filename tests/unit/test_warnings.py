"""Configurations that the program accepts, and warns of in each preview."""

import datetime
import json
from typing import Any

import pulumi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pulumi.runtime import set_all_config

import settings
from settings import Settings
from settings.version_warnings import version_warnings
from tests import golden
from tests.unit.conftest import TODAY
from tests.unit.test_bad_input import run_config_command


def warnings_of(monkeypatch: pytest.MonkeyPatch, **values: Any) -> list[str]:
    """Returns the warnings of a configuration whose keys are secret to Pulumi if they may have a secret in them."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    named = {f"nginx-tracing:{key}": value for key, value in golden.as_pulumi_passes_it(values).items()}
    secret = [key for key, value in named.items() if '"clientKey"' in value] + ["nginx-tracing:nginxLicenseJwt"]
    set_all_config(named, secret)
    settings.load()
    return said


DIGEST = f"@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("values", "place", "age"),
    [
        ({"tempo": {"image": "grafana/tempo:2.6.1"}}, "tempo.image", "older"),
        ({"tempo": {"image": "grafana/tempo:2.11.0"}}, "tempo.image", "newer"),
        ({"tempo": {"image": "harbor.example/cache/grafana/tempo:1.5.0"}}, "tempo.image", "older"),
        ({"tempo": {"image": f"grafana/tempo:2.6.1{DIGEST}"}}, "tempo.image", "older"),
        ({"tempo": {"image": "registry.example/own/tempo:3.4.0"}}, "tempo.image", "newer"),
        ({"collector": {"image": "otel/opentelemetry-collector:0.95.0"}}, "collector.image", "older"),
        ({"collector": {"image": "otel/opentelemetry-collector:0.166.0"}}, "collector.image", "newer"),
        ({"collector": {"image": "otel/opentelemetry-collector:1.2.0"}}, "collector.image", "newer"),
        (
            {
                "collector": {
                    "image": "ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-k8s:1.0",
                    "distribution": "k8s",
                }
            },
            "collector.image",
            "newer",
        ),
        ({"nginx": {"image": "nginx:1.33.0-otel"}}, "nginx.image", "newer"),
        ({"nginx": {"image": "nginx:2.0.0-otel"}}, "nginx.image", "newer"),
        ({"nginx": {"image": "registry.example/copies/nginx:1.24.0-otel"}}, "nginx.image", "older"),
        (
            {
                "edition": "plus",
                "plus": {"image": "registry.example/nginx-plus:R39-debian"},
                "nginxLicenseJwt": golden.configuration("plus")["nginxLicenseJwt"],
            },
            "plus.image",
            "newer",
        ),
        (
            {
                "edition": "plus",
                "plus": {"image": "registry.example/nginx-plus:r32-debian"},
                "nginxLicenseJwt": golden.configuration("plus")["nginxLicenseJwt"],
            },
            "plus.image",
            "older",
        ),
    ],
)
def test_a_version_that_the_program_does_not_know_is_told(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], place: str, age: str
) -> None:
    warning, *others = warnings_of(monkeypatch, **values)
    assert warning.startswith(f"{place} is {age} than the ")
    assert "python -m tools probe" in warning
    if age == "older":
        (other,) = others
        assert other.startswith(f"{place}: ")
        assert " has had no security fixes since 202" in other


@pytest.mark.parametrize(
    ("image", "nearest"),
    [("2.6.1", "2.7"), ("2.11.0", "2.10"), ("3.4.0", "3.0"), ("4.0.0", "3.0")],
)
def test_an_unknown_version_gets_the_configuration_of_the_nearest_known_one_before_it(
    monkeypatch: pytest.MonkeyPatch, image: str, nearest: str
) -> None:
    warning, *_ = warnings_of(monkeypatch, tempo={"image": f"grafana/tempo:{image}"})
    assert f"which are 2.7 to 3.0: it gets the configuration of {nearest}, and may refuse it" in warning


def test_a_newer_collector_gets_what_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = warnings_of(monkeypatch, collector={"image": "otel/opentelemetry-collector:0.177.0"})
    assert "it gets the configuration of 0.165 with the changes that are announced, and may refuse it" in warning
    older, *_ = warnings_of(monkeypatch, collector={"image": "otel/opentelemetry-collector:0.95.0"})
    assert "it gets the configuration of 0.126, and may refuse it" in older


@pytest.mark.parametrize(
    ("key", "image", "assumed", "example"),
    [
        ("tempo", f"grafana/tempo{DIGEST}", "Tempo: its document is that of 2.10.8", "grafana/tempo:2.7.2"),
        (
            "tempo",
            "localhost:5000/own/tempo:main-87c2dc3",
            "Tempo: its document is that of 2.10.8",
            "localhost:5000/own/tempo:2.7.2",
        ),
        (
            "collector",
            f"otel/opentelemetry-collector{DIGEST}",
            "the Collector: its document is that of 0.160.0",
            "otel/opentelemetry-collector:0.126.0",
        ),
        (
            "collector",
            "registry.example/otelcol:3.1.0",
            "the Collector: its document is that of 0.160.0",
            "registry.example/otelcol:0.126.0",
        ),
    ],
)
def test_the_version_that_is_assumed_of_an_image_is_told(
    monkeypatch: pytest.MonkeyPatch, key: str, image: str, assumed: str, example: str
) -> None:
    (warning,) = warnings_of(monkeypatch, **{key: {"image": image}})
    assert warning == (
        f"{key}.image is {image}, whose tag shows no version of {assumed}, the version of `versions: current`, and "
        f"another version may refuse it. If it is another, name its tag beside the digest, such as {example}@sha256:…, "
        "or take the set that has it: pulumi config set versions tutorial"
    )
    (of_named,) = warnings_of(monkeypatch, **{key: {"image": f"{example}{DIGEST}"}})
    assert "has had no security fixes" in of_named
    of_tutorial = warnings_of(monkeypatch, versions="tutorial", **{key: {"image": image}})
    (warning,) = (said for said in of_tutorial if said.startswith(f"{key}.image"))
    assert "the version of `versions: tutorial`" in warning
    assert warning.endswith("take the set that has it: pulumi config rm versions")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"tempo": {"image": "grafana/tempo:2.10.1"}},
        {"tempo": {"image": "grafana/tempo:2.9.5"}},
        {"tempo": {"image": "localhost:5000/lab/tempo:v1.5.1-0.20250529124718-87c2dc380cec"}},
        {"tempo": {"image": "registry.example/traces:2.10.8"}},
        {"collector": {"image": "otel/opentelemetry-collector:0.165.2"}},
        {"nginx": {"image": "nginx:1.31.9-otel"}},
        {"nginx": {"image": "nginx:stable-otel"}},
        {"nginx": {"image": f"registry.example/nginx{DIGEST}"}},
        {"nginx": {"image": "registry.example/web:9.9.9"}},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_of_versions_that_are_known_and_of_those_that_decide_nothing_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    assert warnings_of(monkeypatch, **values) == []


@pytest.mark.parametrize(
    ("values", "warnings"),
    [
        (
            {"versions": "tutorial"},
            [
                "versions: NGINX 1.27.4 has had no security fixes since 2025-06-24, and has known flaws by which a "
                "request may execute code (CVE-2026-42945, CVE-2026-9256, CVE-2026-42055, CVE-2026-42533, "
                "CVE-2026-123007). Move on: pulumi config rm versions",
                "versions: the Collector 0.126.0 has had no security fixes since 2025-11-10. "
                "Move on: pulumi config rm versions",
                "versions: Tempo 2.7.2 has had no security fixes since 2025-10-31. Move on: pulumi config rm versions",
            ],
        ),
        (
            {"nginx": {"image": "nginx:1.30.4-alpine-otel"}},
            [
                "nginx.image: NGINX 1.30.4 has known flaws by which a request may execute code (CVE-2026-123007). "
                "Move on: pulumi config set --path nginx.image nginx:1.30.7-alpine-otel"
            ],
        ),
        (
            {"nginx": {"image": "nginx:1.31.4-otel"}},
            [
                "nginx.image: NGINX 1.31.4 has known flaws by which a request may execute code (CVE-2026-123007). "
                "Move on: pulumi config set --path nginx.image nginx:1.31.9-otel"
            ],
        ),
        (
            {"tempo": {"image": f"mirror.example/grafana/tempo:2.8.4{DIGEST}"}},
            [
                "tempo.image: Tempo 2.8.4 has had no security fixes since 2026-03-31. Once your registry has it: "
                "pulumi config set --path tempo.image mirror.example/grafana/tempo:2.10.8"
            ],
        ),
        (
            {"tempo": {"gateway": {"image": "nginx:1.28.3"}}},
            [
                "tempo.gateway.image: NGINX 1.28.3 has had no security fixes since 2026-04-14, and has known flaws by "
                "which a request may execute code (CVE-2026-42945, CVE-2026-9256, CVE-2026-42055, CVE-2026-42533, "
                "CVE-2026-123007). Move on: pulumi config set --path tempo.gateway.image nginx:1.30.7"
            ],
        ),
        (
            {"edition": "plus", "plus": {"image": "registry.example/nginx-plus:R36"}},
            [
                "plus.image: NGINX Plus R36 has had no security fixes since 2026-10-14, and has known flaws by which a "
                "request may execute code (CVE-2026-123007). Name an image of R37.0"
            ],
        ),
        (
            {"edition": "plus", "plus": {"image": "registry.example/modules:37.0.4.1-debian"}},
            [
                "plus.image: NGINX Plus R37 has known flaws by which a request may execute code (CVE-2026-123007). "
                "Name a new image of R37.0"
            ],
        ),
        ({"edition": "plus", "plus": {"image": "registry.example/modules:37.0.8.1-debian"}}, []),
        ({"edition": "plus", "plus": {"image": "registry.example/nginx-plus:24.10"}}, []),
        (
            {"nginx": {"image": "nginx:1.26-otel"}},
            [
                "nginx.image: NGINX 1.26 has had no security fixes since 2025-04-23. "
                "Move on: pulumi config set --path nginx.image nginx:1.30.7-otel"
            ],
        ),
        ({"nginx": {"image": "nginx:1.30-otel"}}, []),
        (
            {"collector": {"image": "registry.example/otelcol:0.126.0"}},
            [
                "collector.image: the Collector 0.126.0 has had no security fixes since 2025-11-10. Once your registry "
                "has it: pulumi config set --path collector.image registry.example/otelcol:0.160.0"
            ],
        ),
    ],
)
def test_a_version_that_has_had_its_day_is_told_once_with_the_command_that_moves_on(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], warnings: list[str]
) -> None:
    if values.get("edition") == "plus":
        values |= {"nginxLicenseJwt": golden.configuration("plus")["nginxLicenseJwt"]}
    assert warnings_of(monkeypatch, **values) == warnings


def test_the_release_of_plus_that_a_set_has_is_told_too() -> None:
    plus = golden.configuration("plus") | {"versions": "tutorial"}
    plus["plus"] = {"repository": "registry.example/a"}
    (plus_line, *others) = version_warnings(Settings.model_validate(plus), TODAY)
    assert others
    assert plus_line.startswith("versions: NGINX 1.27.4")
    assert any(
        line.startswith("versions: NGINX Plus R34 has had no security fixes since 2025-12-01") for line in others
    )
    plus["plus"]["release"] = "R35"
    assert any(
        line.startswith("plus.release: NGINX Plus R35") and line.endswith("pulumi config set --path plus.release R37.0")
        for line in version_warnings(Settings.model_validate(plus), TODAY)
    )


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0", "4.0.0"])
def test_tempo_3_is_taken_with_a_word_about_the_way_back(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    *_, last = warnings_of(monkeypatch, tempo={"image": f"grafana/tempo:{version}"})
    assert last == (
        f"tempo.image is Tempo {version}: the document for Tempo 3 was not run on this program's lab, and nothing "
        "leads back to Tempo 2. Check after `pulumi up`: python -m tools probe"
    )


def test_what_is_maintained_depends_on_the_day_alone() -> None:
    current = Settings()
    assert list(version_warnings(current, TODAY)) == []
    (collector, tempo) = version_warnings(current, datetime.date(2027, 5, 1))
    assert collector.startswith("versions: the Collector 0.160.0 has had no security fixes since 2027-03-03")
    assert tempo == (
        "versions: Tempo 2.10.8 has had no security fixes since 2027-04-30. A newer nginx-tracing has a newer one"
    )


@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        ({"tempo": {"image": "grafana/tempo:2.10.8"}}, True),
        ({"tempo": {"image": "grafana/tempo:2.11.0"}}, False),
        ({"tempo": {"image": "grafana/tempo:4.0.0"}}, False),
        ({"plus": {"image": "registry.example/modules:37.0.8.1-debian"}}, True),
        # It ends with the next one, on a day that is not announced.
        ({"plus": {"image": "registry.example/modules:37.1.2.1-debian"}}, False),
    ],
)
def test_no_end_is_told_of_a_version_whose_end_is_not_known(values: dict[str, Any], *, is_told: bool) -> None:
    license_token = {"nginxLicenseJwt": golden.configuration("plus")["nginxLicenseJwt"], "edition": "plus"}
    configured = Settings.model_validate(values | (license_token if "plus" in values else {}))
    said = list(version_warnings(configured, datetime.date(2030, 1, 1)))
    key = "plus.image" if "plus" in values else "tempo.image"
    assert any(line.startswith(key) and "no security fixes" in line for line in said) == is_told


CONTRIB = "open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-contrib:0.126.0"


def mirrored(monkeypatch: pytest.MonkeyPatch, **values: Any) -> list[str]:
    """Returns the warnings of images that a mirror may not have."""
    return [said for said in warnings_of(monkeypatch, **values) if "nodes pull it as" in said]


def test_an_image_that_a_cache_of_docker_hub_does_not_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = {"image": f"ghcr.io/{CONTRIB}", "distribution": "contrib"}
    (warning,) = mirrored(monkeypatch, imageRegistry="harbor.example/hub", collector=collector)
    assert warning.startswith(f"collector.image is of ghcr.io, and nodes pull it as harbor.example/hub/{CONTRIB}, ")
    assert warning.endswith("does not have. Set `collector.image` to the name by which harbor.example has it")
    # It names the mirror's registry itself.
    for folder in ("ghcr", "hub"):
        collector["image"] = f"harbor.example/{folder}/{CONTRIB}"
        assert mirrored(monkeypatch, imageRegistry="harbor.example/hub", collector=collector) == []


def test_one_registry_has_one_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    images = {
        "nginx": {"image": "registry.example/nginx:1.28.0-otel"},
        "collector": {"image": "registry.example/otel/opentelemetry-collector:0.126.0"},
        "tempo": {"image": "registry.example/grafana/tempo:2.8.4"},
    }
    assert mirrored(monkeypatch, imageRegistry="harbor.example/all", **images) == []
    images["tempo"]["image"] = "grafana/tempo:2.8.4"
    assert len(mirrored(monkeypatch, imageRegistry="harbor.example/all", **images)) == 2


@pytest.mark.parametrize(
    ("endpoint", "tls", "is_told"),
    [
        ("tempo.obs:4317", {}, True),
        ("uptrace.dev:4317", {}, True),
        ("uptrace.dev:4317", {"enabled": True}, False),
        ("uptrace.dev:443", {}, False),
        ("https://uptrace.dev:4317", {}, False),
        ("otlp.vendor.com:4317", {}, False),
        ("otlp.eu.svc.vendor.com:4317", {}, False),
    ],
)
def test_tls_by_default_to_what_may_be_a_service_is_told(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, tls: dict[str, Any], is_told: bool
) -> None:
    told = warnings_of(monkeypatch, collector=exporting(endpoint, headers={}, tls=tls))
    message = (
        "collector.exporters.mine.endpoint gets TLS by default, and may be a Service of the cluster, which usually "
        "speaks plain text. Say which with `collector.exporters.mine.tls.enabled`, true or false"
    )
    assert told == [message] * is_told


@pytest.mark.parametrize(
    ("endpoint", "exporter", "is_told"),
    [
        ("https://collector.mon.svc:4317", {}, True),
        ("collector-0.collector.mon.svc.cluster.local:4317", {"tls": {"enabled": True}}, True),
        ("https://collector.mon.svc:4317", {"tls": {"serverName": "otlp.vendor.example"}}, False),
        ("https://collector.mon.svc.example.com:4317", {}, False),
        ("http://collector.mon.svc:4317", {"tls": {"enabled": False}}, False),
    ],
)
def test_a_receiver_in_the_cluster_whose_certificate_cannot_be_checked_is_told(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, exporter: dict[str, Any], is_told: bool
) -> None:
    message = (
        "collector.exporters.mine.tls.caBundle is not set: the receiver's certificate is checked, and no authority of "
        "the official image signs names of a cluster: "
        "pulumi config set --path collector.exporters.mine.tls.caBundle < file"
    )
    assert warnings_of(monkeypatch, collector=exporting(endpoint, **exporter)) == [message] * is_told


def test_nginx_sends_to_a_service_in_tls_with_its_authority_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    off = {"collector": {"enabled": False}, "tempo": {"enabled": False}}
    nginx = {"exporter": {"endpoint": "https://collector.mon.svc:4317"}}
    (warning,) = warnings_of(monkeypatch, nginx=nginx, **off)
    assert warning.startswith("nginx.exporter.caBundle is not set: the receiver's certificate is checked, ")


def exporting(endpoint: str, **exporter: Any) -> dict[str, Any]:
    """A configuration with one exporter."""
    return {"exporters": {"mine": {"endpoint": endpoint} | exporter}}


def test_the_port_of_the_other_protocol_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    (warning,) = warnings_of(monkeypatch, collector=exporting("otlp.vendor.example:4318"))
    assert warning == (
        "collector.exporters.mine.endpoint gets OTLP over gRPC at the port 4318, which is OTLP's own for HTTP"
    )
    (warning,) = warnings_of(monkeypatch, collector=exporting("https://otlp.vendor.example:4317", protocol="http"))
    assert warning.endswith("gets OTLP over HTTP at the port 4317, which is OTLP's own for gRPC")
    past = {"collector": {"enabled": False}, "tempo": {"enabled": False}}
    (warning,) = warnings_of(monkeypatch, nginx={"exporter": {"endpoint": "collector.example:4318"}}, **past)
    assert warning.startswith("nginx.exporter.endpoint gets OTLP over gRPC at the port 4318")


@pytest.mark.parametrize(("port", "whose"), [(3200, "Tempo's API"), (9411, "Zipkin's"), (14250, "Jaeger's")])
def test_a_port_of_another_protocol_than_otlp_is_told(monkeypatch: pytest.MonkeyPatch, port: int, whose: str) -> None:
    (warning,) = warnings_of(monkeypatch, collector=exporting(f"traces.vendor.example:{port}"))
    assert f"gets OTLP at the port {port}, which is that of {whose}" in warning


ELSEWHERE = {"exporter": {"endpoint": "otlp.vendor.example:4317"}}


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        (
            {
                "nginx": ELSEWHERE,
                "collector": {"enabled": False, "replicas": 3, "distribution": "k8s"},
                "tempo": {"enabled": False},
            },
            "collector.distribution, collector.replicas have no effect, because `collector.enabled` is false. "
            "To remove: pulumi config rm --path collector.distribution && pulumi config rm --path collector.replicas",
        ),
        (
            {"collector": exporting("otlp.vendor.example:4317"), "tempo": {"enabled": False, "retention": "12h"}},
            "tempo.retention has no effect, because `tempo.enabled` is false. To remove: "
            "pulumi config rm --path tempo.retention",
        ),
        (
            {"plus": {"release": "R33", "repository": "registry.example/nginx-plus"}},
            "plus.repository, plus.release have no effect, because `edition` is oss. To remove: "
            "pulumi config rm --path plus.repository && pulumi config rm --path plus.release",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_keys_of_a_component_that_is_switched_off_are_told_with_the_command_that_removes_them(
    monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], warning: str
) -> None:
    assert warnings_of(monkeypatch, **values) == [warning]
    without = json.loads(json.dumps(values))
    for command in warning.split("To remove: ")[1].split(" && "):
        run_config_command(command, without, [])
    assert warnings_of(monkeypatch, **without) == []


def test_keys_of_a_component_that_is_on_are_told_nothing_of(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"collector": {"enabled": True, "replicas": 3}, "tempo": {"enabled": True, "retention": "12h"}}
    assert warnings_of(monkeypatch, **values) == []


def test_a_short_name_of_a_service_that_would_go_through_the_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy: dict[str, Any] = {"url": "http://proxy.example:3128"}
    collector = exporting("tempo.monitoring:4317", tls={"enabled": False})
    (warning,) = warnings_of(monkeypatch, collector=collector | {"proxy": proxy})
    assert "pulumi config set --path collector.exporters.mine.endpoint tempo.monitoring.svc:4317" in warning
    proxy["exclude"] = ["tempo.monitoring"]
    assert warnings_of(monkeypatch, collector=collector | {"proxy": proxy}) == []


@pytest.mark.parametrize(("days", "told"), [(-2, "expired on"), (10, "expires on"), (90, None)])
def test_a_client_certificate_that_ends_soon_is_told(
    monkeypatch: pytest.MonkeyPatch, days: int, told: str | None
) -> None:
    certificate, key = _self_signed(days)
    tls = {"clientCertificate": certificate, "clientKey": key}
    said = warnings_of(monkeypatch, collector=exporting("otlp.vendor.example:4317", tls=tls))
    assert [told is not None and told in warning for warning in said] == ([True] if told else [])


def _self_signed(days: int) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    today = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(today - datetime.timedelta(days=100))
    certificate = builder.not_valid_after(today + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), key.private_bytes(*form).decode()


def test_parts_of_tempo_without_policies_are_open_to_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = {"type": "s3", "bucket": "traces", "region": "eu-central-1", "identity": "serviceAccount"}
    tempo = {"mode": "distributed", "persistence": {"size": "10Gi"}, "storage": storage}
    assert warnings_of(monkeypatch, tempo=tempo) == []
    (warning,) = warnings_of(monkeypatch, tempo=tempo, networkPolicies=False)
    assert warning == (
        "tempo.mode is distributed and networkPolicies is false: Tempo's parts reach each other at the port 9095, "
        "which asks for no password, so every pod of the cluster can read and write traces there. "
        "To close it: pulumi config set networkPolicies true"
    )
