"""Judges what became of requests around faults of a bucket, of Tempo's parts and of deciders."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lab.errors import LabError
from tools.measure.faults import deciders
from tools.measure.faults.buckets import noticed
from tools.measure.faults.deciders import BegunTraces, as_meant, decided
from tools.measure.faults.outcome import Outcome, each_lossless, lossless
from tools.measure.span_accounting import Agreement
from tools.measure.traffic import Sent


def outcome(count: int, *lost: str, failed: str | None = None) -> Outcome:
    answered = [f"{number:032x}" for number in range(count)]
    sent = Sent(500, answered=answered, failed={"f" * 32: failed} if failed else {}, started=[0, 1])
    return Outcome(sent, list(lost), {}, Agreement({"span accounting": "holds"}, holds=True))


def test_a_fault_of_several_parts_is_lossless_if_it_is_in_each_of_them() -> None:
    result = each_lossless("rollout", {"querier": outcome(1000), "ingester": outcome(3000)})
    assert (result.name, result.value, result.met) == ("rollout, 500/s", "0 of 4000 failed; 100.00% found", True)
    assert result.details == {
        "querier": "0 of 1000 failed; 100.00% found",
        "ingester": "0 of 3000 failed; 100.00% found",
    }


def test_the_part_that_lost_spans_is_named_with_all_that_is_known() -> None:
    result = each_lossless("rollout", {"querier": outcome(1000), "ingester": outcome(999, "a", failed="timeout")})
    assert (result.value, result.met) == ("1 of 2000 failed; 99.95% found", False)
    assert result.details["ingester: reasons"] == json.dumps({"timeout": 1})
    assert not any(key.startswith("querier:") for key in result.details)


def test_a_bucket_whose_absence_tempo_did_not_notice_proves_nothing() -> None:
    result = lossless("bucket away", outcome(1000))
    assert (noticed(result, 3).met, noticed(result, 0).met) == (True, False)
    assert not noticed(replace(result, met=False), 3).met


def test_requests_that_the_demo_fails_on_purpose_are_answered() -> None:
    failed = {"a": "503 Service Temporarily Unavailable", "b": "502 Bad Gateway", "c": "timeout"}
    sent = as_meant(Sent(30, answered=["d"], failed=failed))
    assert (sent.answered, [*sent.failed]) == (["d", "a"], ["b", "c"])


@pytest.mark.parametrize(
    ("begun", "not_whole", "most", "value", "met"),
    [
        (1000, {}, 0, "0 of 1000 failed; 100.00% found whole; 0 split", True),
        (1001, {}, 0, "0 of 1000 failed; 100.00% found whole; 1 split", False),
        (1090, {}, 100, "0 of 1000 failed; 100.00% found whole; 90 split", True),
        (1101, {}, 100, "0 of 1000 failed; 100.00% found whole; 101 split", False),
        (1000, {"a": "no span of demo-stock"}, 100, "0 of 1000 failed; 99.90% found whole; 0 split", False),
        # A decider was not read to its end.
        (900, {}, 100, "0 of 1000 failed; 100.00% found whole; -100 split", False),
    ],
)
def test_traces_are_whole_and_as_many_are_split_as_a_change_allows(
    begun: int, not_whole: dict[str, str], most: int, value: str, met: bool
) -> None:
    sent = Sent(30, answered=[str(number) for number in range(1000)])
    result = decided("a change", sent, not_whole, begun, most)
    assert (result.value, result.met) == (value, met)


def test_a_decider_counts_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, int | None] = {"a": 10, "b": 20}
    ending = set[str]()

    def listed(namespace: str, component: str) -> list[dict[str, Any]]:
        return [{"metadata": {"uid": uid} | ({"deletionTimestamp": ""} if uid in ending else {})} for uid in pages]

    def read(pod: dict[str, Any], port: int, metric: str) -> int:
        if (value := pages[pod["metadata"]["uid"]]) is None:
            raise LabError("no answer")
        return value

    monkeypatch.setattr(deciders, "all_pods", listed)
    monkeypatch.setattr(deciders, "counter", read)
    begun = BegunTraces("tracing")
    assert (begun.read(), begun.count) == (2, 30)
    pages |= {"b": 25}
    ending.add("b")
    assert (begun.read(), begun.count) == (2, 35)
    pages["b"] = None
    assert (begun.read(), begun.count) == (2, 35)
    del pages["b"]
    # Another pod has the name of the one that is gone, and counts from 0.
    pages["c"] = 1
    assert (begun.read(), begun.count) == (2, 36)
    pages["c"] = None
    with pytest.raises(LabError):
        begun.read()
