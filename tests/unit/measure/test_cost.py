"""Turns times and costs into results."""

from dataclasses import replace

from tools.measure.cost import forms, spans, tracing, upstreams
from tools.measure.cost.timings import Timings
from tools.measure.results import Verdict


def test_medians_are_compared_with_the_base_and_with_their_targets() -> None:
    timings = Timings("one Namespace")
    for work, taken in (
        ("the program", (1.2, 1.5, 9.0)),
        ("nothing to do", (1.0, 1.4, 1.4)),
        ("one Namespace", (1.0,)),
    ):
        for seconds in taken:
            timings.add(work, seconds)
    new, unchanged, base = timings.results({"the program": 1.4, "nothing to do": 1.4})
    assert (new.value, new.target) == ("1.50 s, 1.50 times one Namespace", "≤ 1.4 times one Namespace")
    assert (new.verdict, unchanged.verdict, base.verdict) == (Verdict.MISSED, Verdict.MET, Verdict.NO_TARGET)
    assert base.value == "1.00 s"
    assert new.details == {"rounds": 3, "min, s": 1.2, "median, s": 1.5, "max, s": 9.0, "ratio": 1.5}


def test_traced_requests_are_compared_with_untraced_ones() -> None:
    costs = [tracing.Cost("untraced", 18_000, 10), tracing.Cost("100 %", 9_000, 15)]
    assert [(result.name, result.value) for result in tracing.compared(costs)] == [
        ("requests a second, untraced", "18000, 1.00 times untraced"),
        ("NGINX's CPU time of a million requests, untraced", "10.0 s, 1.00 times untraced"),
        ("requests a second, 100 % traced", "9000, 0.50 times untraced"),
        ("NGINX's CPU time of a million requests, 100 % traced", "15.0 s, 1.50 times untraced"),
    ]


def cost(seconds: float, mebibytes: int, lost: int) -> spans.SpanCost:
    cpu = dict.fromkeys(map(str, spans.COMPONENTS), seconds)
    peak = dict.fromkeys(cpu, mebibytes * 2**20)
    return spans.SpanCost(cpu, peak, 30_000, lost, "p50 1.0 s")


def test_spans_are_compared_with_the_baseline_and_none_may_be_lost() -> None:
    *used, lost, fresh = spans.compared(cost(12, 66, lost=1), cost(8, 132, lost=40))
    assert [result.value for result in used] == 3 * ["12 s, 1.50 times the 8 s of the baseline"] + 3 * [
        "66 MiB, 0.50 times the 132 MiB of the baseline"
    ]
    assert (lost.value, lost.verdict) == ("1 of 30000; the baseline 40 of 30000", Verdict.MISSED)
    assert fresh.value == "p50 1.0 s; the baseline p50 1.0 s"


def test_spans_of_another_set_of_versions_stand_alone() -> None:
    *used, lost, fresh = spans.compared(cost(12, 66, lost=0), None)
    assert [result.value for result in used] == 3 * ["12 s"] + 3 * ["66 MiB"]
    assert (lost.value, lost.verdict, fresh.value) == ("0 of 30000", Verdict.MET, "p50 1.0 s")


def test_all_that_people_look_at_is_compared_with_none_of_it() -> None:
    off, on = cost(8, 33, lost=0), cost(12, 66, lost=2)
    off, on = (
        replace(each, cpu_per_million=each.cpu_per_million | {"prometheus": of_prometheus})
        for each, of_prometheus in ((off, 0), (on, 3))
    )
    off, on = (replace(each, peak_bytes=each.peak_bytes | {"prometheus": 2**20}) for each in (off, on))
    nginx, _, _, prometheus, *_, lost, fresh = spans.compared(on, off, "off")
    assert nginx.value == "12 s, 1.50 times the 8 s of off"
    assert prometheus.value == "3 s"
    assert (lost.value, lost.verdict) == ("2 of 30000; off 0 of 30000", Verdict.MISSED)
    assert fresh.value == "p50 1.0 s; off p50 1.0 s"


def test_the_forms_of_tempo_are_compared_with_one_process_and_name_each_part() -> None:
    parts = {"tempo": 300.0, "tempo-ingester": 200.0, "tempo-distributor": 100.0}
    peaks = {"tempo": 600 * 2**20, "tempo-ingester": 450 * 2**20, "tempo-distributor": 150 * 2**20}
    costs = {
        forms.ONE: spans.SpanCost({"tempo": 100.0}, {"tempo": 200 * 2**20}, 60_000, 0, ""),
        forms.STORED: spans.SpanCost({"tempo": 120.0}, {"tempo": 220 * 2**20}, 60_000, 0, ""),
        forms.PARTS: spans.SpanCost(parts, peaks, 60_000, 1, ""),
    }
    one, stored, in_parts, *peaks_of, lost = forms.compared(costs)
    assert (one.value, stored.value) == ("100 s", "120 s, 1.20 times the 100 s of one process")
    assert in_parts.name == "Tempo, in parts with a bucket: CPU time of a million spans"
    assert in_parts.value == "300 s, 3.00 times the 100 s of one process"
    assert (in_parts.details["tempo-ingester"], in_parts.details["tempo-distributor"]) == (200, 100)
    assert [result.value for result in peaks_of] == [
        "200 MiB",
        "220 MiB, 1.10 times the 200 MiB of one process",
        "600 MiB, 3.00 times the 200 MiB of one process",
    ]
    assert (lost.value, lost.verdict) == ("1 of 180000", Verdict.MISSED)


def test_spans_of_upstreams_are_compared_with_the_module_s_spans_alone() -> None:
    base, *_, last = upstreams.compared(
        {case: upstreams.Cost(5.0 + 3 * number, 500 + 100 * number) for number, case in enumerate(upstreams.CASES)}
    )
    assert base.value == "5.0 s, 1.00 times; it sends 500 bytes for each"
    assert last.name.endswith("names stable, and spans of upstreams")
    assert last.value == "20.0 s, 4.00 times; it sends 1000 bytes for each"
