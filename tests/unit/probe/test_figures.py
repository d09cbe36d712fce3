"""Percentiles, metrics pages and differences of counters: the figures that the probe's words stand on."""

import pytest

from components.documents.collector import collector_document
from settings import CollectorSettings
from settings.limits import Exports
from tools.probe.metrics import Samples, Series, parse_metrics, total
from tools.probe.names import ACCEPTED, DISCARDED, LIMITED, QUEUE_SIZE, SEND_FAILED, TO_TEMPO
from tools.probe.readings import Reading, difference
from tools.probe.result import Hop, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7.0], 95, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([float(number) for number in range(1, 21)], 95, 19.0),
        ([float(number) for number in range(1, 101)], 95, 95.0),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(values: list[float], percent: float, expected: float | None) -> None:
    assert percentile(values, percent) == expected


def test_metrics_are_summed_over_labels_but_those_that_tell_losses_apart() -> None:
    page = (
        "# HELP a_total Text with a_total 7 in it\n"
        'a_total{tenant="x",reason="rate_limited"} 2\n'
        'a_total{reason="rate_limited",tenant="y"} 3\n'
        'a_total{reason="a \\"}\\" b"} 1 1700000000\n'
        "b_total 1e3\n"
        "a_total_more 9\n"
        'other{name="a_total 5"} 9\n'
    )
    samples = parse_metrics(page, {"a_total", "b_total"})
    assert samples == {
        Series("a_total", frozenset({("reason", "rate_limited")})): 5.0,
        Series("a_total", frozenset({("reason", 'a "}" b')})): 1.0,
        Series("b_total"): 1000.0,
    }
    assert total(samples, "a_total") == 6.0


def page(accepted: float | None = None, queue: float | None = None) -> Samples:
    values = {Series(ACCEPTED): accepted, Series(QUEUE_SIZE): queue}
    return {series: value for series, value in values.items() if value is not None}


def changed(before: dict[str, Samples], after: dict[str, Samples]) -> tuple[float, list[str]]:
    hop = difference(Hop.COLLECTOR, (ACCEPTED, QUEUE_SIZE), Reading(before), Reading(after))
    return hop.counters[ACCEPTED], hop.gaps


def test_differences_add_up_over_pods_that_came_during_the_run() -> None:
    before = {"a": page(10.0)}
    assert changed(before, {"a": page(15.0), "b": page(2.0)}) == (7, [])


def test_a_pod_that_restarted_counts_from_zero_and_is_noted() -> None:
    count, notes = changed({"a": page(10.0)}, {"a": page(4.0)})
    assert count == 4
    assert notes == ["a restarted during the run; what it counted before is not included"]


def test_a_pod_that_ended_is_noted() -> None:
    count, notes = changed({"a": page(10.0)}, {"b": page(4.0)})
    assert count == 4
    assert notes == ["a ended during the run; what it counted is not included"]


def test_a_pod_that_counts_again_and_has_counted_nothing_yet_has_restarted() -> None:
    count, notes = changed({"a": page(10.0)}, {"a": {}})
    assert (count, len(notes)) == (0, 1)
    assert "restarted" in notes[0]


@pytest.mark.parametrize("after", [{"a": page(4.0)}, {"b": page(4.0)}])
def test_what_a_pod_held_when_it_ended_may_be_lost_and_is_told(after: dict[str, Samples]) -> None:
    before = {"a": page(10.0, 300.0)}
    hop = difference(Hop.COLLECTOR, (ACCEPTED,), Reading(before), Reading(after))
    assert "what became of its queue of size 300 is not included" in hop.gaps[0]
    assert hop.incomplete


def test_of_a_pod_that_could_not_be_read_once_nothing_is_counted() -> None:
    good = {"a": page(10.0)}
    hop = difference(Hop.COLLECTOR, (ACCEPTED,), Reading({}, {"a": "HTTP 503"}), Reading(good))
    assert hop.counters == {ACCEPTED: 0}
    assert hop.gaps == ["a could not be read, and is not included: HTTP 503"]
    assert hop.incomplete


def test_a_queue_that_became_shorter_is_no_restart() -> None:
    before = {"a": page(10.0, 5.0)}
    assert changed(before, {"a": page(11.0, 1.0)}) == (1, [])


@pytest.mark.parametrize(("minor", "name"), [(126, "otlp"), (143, "otlp"), (144, "otlp_grpc"), (165, "otlp_grpc")])
def test_the_exporter_to_the_stack_s_tempo_is_told_from_others(minor: int, name: str) -> None:
    page = f'sent{{exporter="{name}/tempo",service="a"}} 3\nsent{{exporter="{name}/vendor",service="a"}} 4\n'
    samples = parse_metrics(page, {"sent"})
    assert total(samples, "sent") == 3
    assert difference(Hop.COLLECTOR, ("sent",), Reading({"a": {}}), Reading({"a": samples})).exporters == {
        f"{name}/vendor": {"sent": 4}
    }
    given = {"exporters": {"vendor": {"endpoint": "a:1"}}, "image": f"otelcol:0.{minor}.0"}
    settings = CollectorSettings.model_validate(given)
    document = collector_document(settings, backend="tempo:4317", namespace="tracing", exports=Exports(512, 25_600))
    assert TO_TEMPO & document["exporters"].keys() == {f"{name}/tempo"}


@pytest.mark.parametrize("name", ["otelcol_processor_refused_spans", "otelcol_processor_memory_limiter_refused_spans"])
def test_what_the_memory_limiter_refused_is_read_whatever_the_version_calls_it(name: str) -> None:
    page = f'{name}{{processor="memory_limiter"}} 3\n'
    assert total(parse_metrics(page, {LIMITED}), LIMITED) == 3


def test_what_tempo_discarded_is_told_by_reason_and_an_exporter_by_its_name_where_they_counted() -> None:
    def samples(count: float) -> Samples:
        labels = {"reason": ("reason", "rate_limited"), "vendor": ("exporter", "otlp/vendor")}
        still = {Series(DISCARDED, frozenset({("reason", "trace_too_large")})): 5.0}
        return still | {
            Series(DISCARDED, frozenset({labels["reason"]})): count,
            Series(SEND_FAILED, frozenset({labels["vendor"]})): 2 * count,
        }

    hop = difference(Hop.TEMPO, (DISCARDED,), Reading({"a": samples(1)}), Reading({"a": samples(4)}))
    assert hop.counters == {DISCARDED: 3}
    assert hop.discarded_by_reason == {"rate_limited": 3}
    assert hop.exporters == {"otlp/vendor": {SEND_FAILED: 6}}
