"""Tests of the table of versions: what an image's tag tells of its program."""

import datetime

import pytest

from settings import CollectorSettings, Settings
from settings.nginx_directives import directives
from settings.snippets.reader import reader_of
from settings.versions import SETS, collector_release, nginx_release, plus_release, tempo_release
from settings.versions.support import Version
from settings.versions.tags import release_of

TUTORIAL, CURRENT = SETS["tutorial"], SETS["current"]
IN_HTTP_2 = {"CVE-2026-123007"}
DIGEST = f"@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("otel/opentelemetry-collector:0.144.0", (0, 144, 0)),
        ("registry.example/own/opentelemetry-collector-k8s:0.161", (0, 161)),
        (f"otel/opentelemetry-collector-contrib:0.159.0{DIGEST}", (0, 159, 0)),
        ("localhost:5000/lab/otelcol:0.126.0", (0, 126, 0)),
        ("registry.example/otelcol:3.1.0", CURRENT.collector),
        ("registry.example/otelcol:0.4.0", CURRENT.collector),
        (f"otel/opentelemetry-collector{DIGEST}", CURRENT.collector),
        ("registry.example/otel-custom:v0.126.0-2", (0, 126, 0)),
        ("registry.example/own:0.126", CURRENT.collector),
        ("registry.example/own:latest", CURRENT.collector),
    ],
)
def test_a_collector_s_image_tells_its_version_or_the_set_does(image: str, version: Version) -> None:
    assert collector_release(image, CURRENT.collector).version == version


@pytest.mark.parametrize(
    ("feature", "first", "before", "since"),
    [
        ("blocks_on_full_queue", 129, "blocking", "block_on_overflow"),
        ("sizes_persistent_queue", 130, False, True),
        ("batches_persistent_queue", 138, False, True),
        ("balances", 139, True, False),
        ("balances", 140, False, True),
        ("decides_at_its_end", 141, False, True),
        ("grpc_exporter", 144, "otlp", "otlp_grpc"),
        ("http_exporter", 144, "otlphttp", "otlp_http"),
        ("load_balancing", 146, "loadbalancing", "load_balancing"),
        ("kubernetes_attributes", 146, "k8sattributes", "k8s_attributes"),
        ("labels_counters_with_service", 149, True, False),
        ("memory_limiter_counters", 155, "otelcol_processor_", "otelcol_processor_memory_limiter_"),
        ("counts_enqueued_sizes", 159, False, True),
        ("batches_by_default", 171, False, True),
        ("has_batch_processor", 177, True, False),
    ],
)
def test_a_feature_of_the_collector_begins_with_its_version(
    feature: str, first: int, before: object, since: object
) -> None:
    releases = (collector_release(f"otelcol:0.{minor}.0", CURRENT.collector) for minor in (first - 1, first))
    assert [getattr(release, feature) for release in releases] == [before, since]


def test_the_settings_of_a_collector_know_its_release() -> None:
    named = CollectorSettings.model_validate({"image": "otel/opentelemetry-collector:0.150.0"})
    assert named.release.version == (0, 150, 0)


@pytest.mark.parametrize(
    ("image", "limit", "has_live_store"),
    [
        ("grafana/tempo:2.7.2", "max_span_attr_byte", False),
        ("grafana/tempo:2.6.1", "max_span_attr_byte", False),
        ("grafana/tempo:2.8.0", "max_attribute_bytes", False),
        ("grafana/tempo:2.10.8", "max_attribute_bytes", False),
        ("grafana/tempo:2.11.0", "max_attribute_bytes", False),
        ("registry.example/copies/tempo:3.0.3", "max_attribute_bytes", True),
        ("grafana/tempo:4.1.0", "max_attribute_bytes", True),
        ("registry.example/observability/grafana-tempo:2.7.2", "max_span_attr_byte", False),
        (f"registry.example:5000/traces:2.7.2{DIGEST}", "max_span_attr_byte", False),
        ("registry.example/traces:3.0.3", "max_attribute_bytes", True),
        ("registry.example/traces:2.6.1", "max_attribute_bytes", False),
        (f"grafana/tempo{DIGEST}", "max_attribute_bytes", False),
        ("localhost:5000/lab/tempo:v1.5.1-0.20250303124718-87c2dc380cec", "max_span_attr_byte", False),
        ("localhost:5000/lab/tempo:v1.5.1-0.20250529124718-87c2dc380cec", "max_attribute_bytes", False),
    ],
)
def test_a_tempo_s_image_tells_its_rules_or_the_set_does(image: str, limit: str, *, has_live_store: bool) -> None:
    release = tempo_release(image, CURRENT.tempo)
    assert (release.attribute_limit, release.has_live_store) == (limit, has_live_store)


@pytest.mark.parametrize(
    ("image", "flaws"),
    [
        (TUTORIAL.nginx_image, IN_HTTP_2 | {"CVE-2026-42945", "CVE-2026-9256", "CVE-2026-42055", "CVE-2026-42533"}),
        ("nginx:1.30.1-otel", IN_HTTP_2 | {"CVE-2026-9256", "CVE-2026-42055", "CVE-2026-42533"}),
        ("nginx:1.31.0-otel", IN_HTTP_2 | {"CVE-2026-9256", "CVE-2026-42055", "CVE-2026-42533"}),
        ("nginx:1.30.3-otel", IN_HTTP_2 | {"CVE-2026-42533"}),
        (CURRENT.nginx_image, set[str]()),
        # Such a tag moves on with the fixes.
        ("nginx:1.30-otel", set[str]()),
        ("nginx:1.31-otel", set[str]()),
    ],
)
def test_a_version_of_nginx_has_the_flaws_that_are_fixed_later(image: str, flaws: set[str]) -> None:
    assert {flaw.cve for flaw in nginx_release(image, CURRENT.nginx).flaws} == flaws


def test_a_line_is_maintained_to_the_end_of_its_last_day() -> None:
    support = tempo_release("grafana/tempo:2.7.2", CURRENT.tempo).support
    assert support.until is not None
    assert not support.has_ended(support.until)
    assert support.has_ended(support.until + datetime.timedelta(days=1))
    assert not nginx_release("nginx:1.30.4-otel", CURRENT.nginx).support.has_ended(datetime.date(2100, 1, 1))


@pytest.mark.parametrize(
    ("minor", "until"),
    [(95, "2025-11-10"), (126, "2025-11-10"), (145, "2026-08-19"), (154, "2026-12-23"), (160, "2027-03-03")],
)
def test_a_collector_counts_as_old_half_a_year_after_the_next_release_whose_day_is_known(
    minor: int, until: str
) -> None:
    release = collector_release(f"otel/opentelemetry-collector:0.{minor}.1", CURRENT.collector)
    assert str(release.support.until) == until
    assert collector_release("otelcol:0.161.0", CURRENT.collector).support.until is None


@pytest.mark.parametrize(
    ("image", "is_refused"),
    [("nginx:1.29.5-otel", True), ("nginx:1.28-otel", True), ("nginx:1.29-otel", False), (CURRENT.nginx_image, False)],
)
def test_open_source_nginx_has_sticky_since_it_has_it(image: str, *, is_refused: bool) -> None:
    reader = reader_of(Settings.model_validate({"nginx": {"image": image}}))
    assert bool(reader.lacks("sticky", directives()["sticky"])) == is_refused


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("registry.example/nginx-plus:R34", 34),
        ("registry.example/nginx-plus:r36-debian", 36),
        ("private-registry.nginx.com/nginx-plus/base:37.0.4.1-debian", 37),
        ("registry.example/nginx-plus:2026-05", None),
        ("registry.example/nginx-plus:24.10", None),
        ("registry.example/nginx-plus:10.2", None),
    ],
)
def test_an_image_of_plus_tells_its_release(image: str, release: int | None) -> None:
    assert release_of(image) == release


def test_the_current_release_of_plus_gets_security_updates_and_the_tutorial_s_does_not() -> None:
    today = datetime.date(2026, 11, 26)
    assert not plus_release(CURRENT.plus).support.has_ended(today)
    assert plus_release(TUTORIAL.plus).support.has_ended(today)
    assert plus_release(TUTORIAL.plus).flaws
    assert plus_release("R37.0").support.until
    assert plus_release("R37.1").support.until is None, "a continuous release ends with the next one"
