"""Percentiles, metrics pages and differences of counters: the figures that the probe's words stand on."""

import pytest

from components.documents.collector import collector_document
from settings import CollectorSettings
from settings.limits import Exports
from tools.probe import counters
from tools.probe.counters import TO_TEMPO, Reading, parse_metrics
from tools.probe.result import percentile


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


def test_metrics_are_summed_over_labels_and_keep_reasons_apart() -> None:
    page = (
        "# HELP a_total Text with a_total 7 in it\n"
        'a_total{tenant="x",reason="rate_limited"} 2\n'
        'a_total{reason="rate_limited",tenant="y"} 3\n'
        'a_total{reason="a \\"}\\" b"} 1 1700000000\n'
        "b_total 1e3\n"
        "a_total_more 9\n"
        'other{name="a_total 5"} 9\n'
    )
    assert parse_metrics(page, {"a_total", "b_total"}) == {
        "a_total": 6.0,
        'a_total{reason="rate_limited"}': 5.0,
        'a_total{reason="a \\"}\\" b"}': 1.0,
        "b_total": 1000.0,
    }


def difference(before: dict[str, counters.Samples], after: dict[str, counters.Samples]) -> tuple[float, list[str]]:
    hop = counters.difference("Collector", (counters.ACCEPTED, counters.QUEUE_SIZE), Reading(before), Reading(after))
    return hop.counters[counters.ACCEPTED], hop.gaps


def test_differences_add_up_over_pods_that_came_during_the_run() -> None:
    before = {"a": {counters.ACCEPTED: 10.0}}
    assert difference(before, {"a": {counters.ACCEPTED: 15.0}, "b": {counters.ACCEPTED: 2.0}}) == (7, [])


def test_a_pod_that_restarted_counts_from_zero_and_is_noted() -> None:
    changed, notes = difference({"a": {counters.ACCEPTED: 10.0}}, {"a": {counters.ACCEPTED: 4.0}})
    assert changed == 4
    assert notes == ["a restarted during the run; what it counted before is not included"]


def test_a_pod_that_ended_is_noted() -> None:
    changed, notes = difference({"a": {counters.ACCEPTED: 10.0}}, {"b": {counters.ACCEPTED: 4.0}})
    assert changed == 4
    assert notes == ["a ended during the run; what it counted is not included"]


def test_a_pod_that_counts_again_and_has_counted_nothing_yet_has_restarted() -> None:
    changed, notes = difference({"a": {counters.ACCEPTED: 10.0}}, {"a": {}})
    assert (changed, len(notes)) == (0, 1)
    assert "restarted" in notes[0]


@pytest.mark.parametrize("after", [{"a": {counters.ACCEPTED: 4.0}}, {"b": {counters.ACCEPTED: 4.0}}])
def test_what_a_pod_held_when_it_ended_may_be_lost_and_is_told(after: dict[str, counters.Samples]) -> None:
    before = {"a": {counters.ACCEPTED: 10.0, counters.QUEUE_SIZE: 300.0}}
    hop = counters.difference("Collector", (counters.ACCEPTED,), Reading(before), Reading(after))
    assert "what became of its queue of size 300 is not included" in hop.gaps[0]
    assert hop.blind


def test_of_a_pod_that_could_not_be_read_once_nothing_is_counted() -> None:
    page = {"a": {counters.ACCEPTED: 10.0}}
    hop = counters.difference("Collector", (counters.ACCEPTED,), Reading({}, {"a": "HTTP 503"}), Reading(page))
    assert hop.counters == {counters.ACCEPTED: 0}
    assert hop.gaps == ["a could not be read, and is not included: HTTP 503"]
    assert hop.blind


def test_a_queue_that_became_shorter_is_no_restart() -> None:
    before = {"a": {counters.ACCEPTED: 10.0, counters.QUEUE_SIZE: 5.0}}
    assert difference(before, {"a": {counters.ACCEPTED: 11.0, counters.QUEUE_SIZE: 1.0}}) == (1, [])


def test_the_exporter_to_the_stack_s_tempo_is_told_from_others() -> None:
    page = 'sent{exporter="otlp/tempo",service="a"} 3\nsent{exporter="otlp/vendor",service="a"} 4\n'
    assert parse_metrics(page, {"sent"}) == {"sent": 3, 'sent{exporter="otlp/vendor"}': 4}
    settings = CollectorSettings.model_validate({"exporters": {"vendor": {"endpoint": "a:1"}}})
    document = collector_document(settings, backend="tempo:4317", namespace="tracing", exports=Exports(512, 25_600))
    assert TO_TEMPO in document["exporters"]
