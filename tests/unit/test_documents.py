"""The documents that the deployed programs read."""

import re
from typing import Any

import pytest

from components.documents import Document
from components.documents.collector import collector_document
from components.documents.nginx import nginx_conf, quoted
from components.documents.tempo import tempo_document


def conf(**changed: str) -> str:
    return nginx_conf(**({"exporter": "otel-collector.tracing.svc:4317", "service_name": "nginx"} | changed))


def leaves(document: Any, path: str = "") -> dict[str, Any]:
    if isinstance(document, dict):
        found: dict[str, Any] = {}
        for key, value in document.items():  # pyright: ignore[reportUnknownVariableType]
            found |= leaves(value, f"{path}.{key}")
        return found
    return {path: document}


@pytest.mark.parametrize("document", [tempo_document(), collector_document("tempo.tracing.svc:4317")])
def test_every_duration_has_a_unit(document: Document) -> None:
    names = re.compile(r"(timeout|interval|period|duration|elapsed_time|retention|exhausted)$")
    durations = {path: value for path, value in leaves(document).items() if names.search(path)}
    assert durations
    for path, value in durations.items():
        assert re.fullmatch(r"\d+(ms|s|m|h)", str(value)), path


def test_the_collector_limits_its_memory_before_anything_holds_spans() -> None:
    pipeline = collector_document("tempo:4317")["service"]["pipelines"]["traces"]
    assert pipeline["processors"][0] == "memory_limiter"


def test_the_collector_uses_every_component_that_it_declares_and_declares_all_that_it_uses() -> None:
    document = collector_document("tempo:4317")
    pipeline = document["service"]["pipelines"]["traces"]
    for kind in ("receivers", "processors", "exporters"):
        assert set(document[kind]) == set(pipeline[kind])
    assert set(document["extensions"]) == set(document["service"]["extensions"])


def test_the_collector_never_gives_up_a_batch_that_the_backend_may_take_later() -> None:
    exporter = collector_document("tempo:4317")["exporters"]["otlp"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["endpoint"] == "tempo:4317"


def test_tempo_has_no_silent_limit_of_live_traces_and_tells_the_collector_to_retry() -> None:
    document = tempo_document()
    assert document["overrides"]["defaults"]["ingestion"]["max_traces_per_user"] == 0
    assert document["distributor"]["retry_after_on_resource_exhausted"] == "1s"
    assert document["usage_report"]["reporting_enabled"] is False


def test_tempo_s_receiver_is_reachable_from_other_pods() -> None:
    assert tempo_document()["distributor"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"] == "0.0.0.0:4317"


def test_nginx_shows_dropped_records_and_traces_all_but_the_health_checks() -> None:
    text = conf()
    assert "error_log /dev/stderr notice;" in text
    traced, health = text.split("# For the probes of Kubernetes")
    assert "otel_trace on;" in traced
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
    assert f"otel_service_name {written};" in conf(service_name=name)


@pytest.mark.parametrize("text", ["a\nb", "a\x00b", "a\tb"])
def test_text_that_cannot_be_written_on_a_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not one line"):
        quoted(text)
