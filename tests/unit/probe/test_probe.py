"""The output of `python -m tools probe`, for a person and for a script."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.probe.conftest import Ended
from tests.unit.probe.fake_stack import FakeStack, Server
from tools.probe.command import main

Probe = Callable[..., Ended]


def test_exits_with_0_and_counts_every_request_when_all_traces_are_found(probe: Probe) -> None:
    ended = probe()
    assert ended.code == 0
    assert "20 answered with 200" in ended.output
    summary = [line.split()[:5] for line in ended.output.splitlines() if line.startswith("by ")]
    assert [line[:4] for line in summary] == [["by", "ID", "20", "20"], ["by", "search", "20", "20"]]
    assert "missing " not in ended.output.partition("by ID")[2]
    assert ended.errors == ""


def test_each_request_has_a_trace_id_of_its_own_and_the_mark_of_the_run(probe: Probe, stack: FakeStack) -> None:
    ended = probe("--requests", "5", "--path", "/shop?item=1", "--json")
    assert len({seen.trace_id for seen in stack.received}) == 5
    assert {seen.path for seen in stack.received} == {"/shop?item=1"}
    assert {seen.user_agent for seen in stack.received} == {f"nginx-tracing-probe/{ended.document['run']}"}


def test_another_run_is_not_taken_for_this_one(probe: Probe, stack: FakeStack) -> None:
    probe("--requests", "3")
    stack.lose = dict.fromkeys(range(3, 6), "discarded")
    ended = probe("--requests", "3", "--timeout", "0.5", "--json")
    assert ended.document["found_by_search"] == 0


def test_text_that_is_not_utf_8_does_not_hide_a_trace(probe: Probe, stack: FakeStack) -> None:
    stack.has_broken_text = True
    ended = probe("--requests", "3", "--timeout", "0.5", "--json")
    assert (ended.code, ended.document["found_by_id"]) == (0, 3)
    assert [span["attributes"]["http.method"] for span in ended.document["trace"]] == ["\ufffd" * 3]


def test_freshness_runs_from_the_answer_to_the_look_up_that_finds(probe: Probe, stack: FakeStack) -> None:
    stack.visible_after_seconds = 0.5
    document = probe("--requests", "10", "--json").document
    for way in ("by_id", "by_search"):
        fresh = document[f"freshness_{way}"]
        assert 0.4 <= fresh["p50_seconds"] <= fresh["p95_seconds"]
        # The real value is 0.5 s; a measured one may be above it by the resolution.
        assert fresh["p95_seconds"] - fresh["resolution_seconds"] <= 0.52
        single = [request[f"fresh_{way}_seconds"] for request in document["requests"]]
        assert min(single) <= fresh["p50_seconds"] <= max(single)


@pytest.mark.parametrize(
    ("place", "hop", "why"),
    [
        ("unanswered", "probe → NGINX", "1 request got no answer"),
        ("unlogged", "NGINX", "the access log has no line with the trace IDs of 1 missing trace"),
        ("dropped", "NGINX", "nginx-1: 2026/01/01 00:00:00 [notice] 7#7: OTel dropped records: 3"),
        ("dropped", "NGINX", "each batch, full or not, takes one of the `nginx.exporter.batchCount` places"),
        ("export", "NGINX → Collector", "OTel export failure: connection refused"),
        ("export", "NGINX → Collector", "they can fail for about as long again as the Collector was away"),
        ("unsent", "NGINX → Collector", "NGINX logged 6 of the requests, but only 5 spans reached the Collector"),
        ("refused", "Collector", "it refused 1 span, which NGINX does not send again: 1 span because a queue or its"),
        ("limited", "Collector", "it refused 1 span, which NGINX does not send again: 1 span because its memory limit"),
        ("held", "Collector", "it accepted 6 spans and sent 5"),
        ("queue", "Collector → Tempo", "still holds spans that"),
        ("collector", "Collector → Tempo", "dropped 1 span that it could not send"),
        ("elsewhere", "Collector → Tempo", "sent 6 spans, this Tempo received 5"),
        ("discarded", "Tempo", "it discarded 1 span (rate_limited: 1)"),
        ("forgotten", "unknown", "no counter shows a loss"),
    ],
)
def test_exits_with_1_and_names_the_hop_that_lost_a_trace(
    probe: Probe, stack: FakeStack, place: str, hop: str, why: str
) -> None:
    stack.lose = {2: place}
    ended = probe("--requests", "6", "--timeout", "0.5")
    assert ended.code == 1
    assert f"1 of 6 traces missing 500 ms after the last answer; lost at: {hop}" in ended.output
    evidence = [line for line in ended.output.splitlines() if line.startswith(f"{hop}: ") and why in line]
    assert evidence, ended.output
    if place != "unanswered":
        assert f"Missing: {stack.received[2].trace_id}" in ended.output


def test_spans_that_the_collector_makes_hide_none_that_it_held_back(probe: Probe, stack: FakeStack) -> None:
    stack.has_upstream = True
    stack.lose = {2: "held"}
    ended = probe("--requests", "6", "--timeout", "0.5")
    assert "Collector: it accepted 6 spans, made 5 more of upstreams and sent 10: the others wait in a" in ended.output


@pytest.mark.parametrize(
    ("place", "hop"),
    [("refused", "Collector"), ("collector", "Collector → Tempo"), ("elsewhere", "Collector → Tempo")],
)
def test_both_tiers_of_collectors_are_one_hop(probe: Probe, stack: FakeStack, place: str, hop: str) -> None:
    stack.has_deciders = True
    stack.lose = {2: place}
    ended = probe("--requests", "6", "--timeout", "0.5")
    assert f"1 of 6 traces missing 500 ms after the last answer; lost at: {hop}\n" in ended.output


def test_the_way_between_the_tiers_is_a_hop_of_its_own(probe: Probe, stack: FakeStack) -> None:
    stack.has_deciders = True
    stack.lose = {2: "held"}
    dropped = 'otelcol_exporter_send_failed_spans{exporter="load_balancing/deciders"}'
    stack.grows_while_read = {dropped: 1}
    # An older Collector counts the attempts at one decider, which the first tier repeats, by such a name.
    stack.grows_while_read[dropped.replace("load_balancing/deciders", "otlp/loadbalancing/deciders_10.0.0.2:4317")] = 7
    verdict = probe("--requests", "6", "--timeout", "0.5", "--json").document["verdict"]
    (finding,) = verdict["findings"]
    assert finding["hop"] == "collector_to_decider"
    assert finding["why"].startswith("the Collector dropped 1 span that it could not send with load_balancing/deciders")


def test_all_hops_that_lost_a_trace_are_named_in_the_order_of_a_spans_way(probe: Probe, stack: FakeStack) -> None:
    stack.lose = {0: "discarded", 1: "collector", 2: "dropped"}
    verdict = probe("--requests", "4", "--timeout", "0.5", "--json").document["verdict"]
    hops = [finding["hop"] for finding in verdict["findings"]]
    assert verdict["hop"] == "nginx"
    assert list(dict.fromkeys(hops)) == ["nginx", "nginx_to_collector", "collector_to_tempo", "tempo"]


def test_other_traffic_between_two_readings_is_not_taken_for_a_loss(probe: Probe, stack: FakeStack) -> None:
    stack.traffic_after_first_reading = 3
    stack.lose = {0: "discarded"}
    verdict = probe("--requests", "4", "--timeout", "0.5", "--json").document["verdict"]
    assert [finding["hop"] for finding in verdict["findings"]] == ["tempo"]


def test_counters_are_differences_over_the_run(probe: Probe, stack: FakeStack) -> None:
    probe("--requests", "5")
    hops = {hop["hop"]: hop["counters"] for hop in probe("--requests", "3", "--json").document["hops"]}
    assert hops["nginx"]["requests_in_access_log"] == 3
    assert hops["collector"]["otelcol_receiver_accepted_spans"] == 3
    assert hops["collector"]["otelcol_exporter_sent_spans"] == 3
    assert hops["tempo"] == {
        "tempo_distributor_spans_received_total": 3,
        "tempo_discarded_spans_total": 0,
        "disk_full_lines": 0,
    }


def test_a_trace_that_search_does_not_show_is_missing_too(probe: Probe, stack: FakeStack) -> None:
    stack.searchable = False
    ended = probe("--requests", "3", "--timeout", "0.5")
    assert ended.code == 1
    assert "Tempo: all traces are found by ID, but 3 not by search yet" in ended.output


def test_trace_ids_with_leading_zeros_are_found_by_search(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["ab12cd34", "00" + "1" * 30, "2" * 16, "000" + "3" * 29, "4" * 16])

    def token(_: int) -> str:
        return next(tokens)

    monkeypatch.setattr("secrets.token_hex", token)
    assert probe("--requests", "2", "--timeout", "1").code == 0


def test_without_a_kubeconfig_the_traces_are_found_all_the_same(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "no-such-file")
    ended = probe("--requests", "3", "--json")
    assert ended.code == 0
    unreadable = {hop["hop"]: hop["unreadable"] for hop in ended.document["hops"]}
    assert unreadable["nginx"] == unreadable["collector"] == unreadable["tempo"]
    assert "no usable kubeconfig: no-such-file cannot be read" in unreadable["nginx"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "the API server answers HTTP 403: pods is forbidden"), (0, "the API server http://127.0.0.1:")],
)
def test_counters_that_cannot_be_read_are_named_with_the_reason(
    probe: Probe, stack: FakeStack, status: int, reason: str
) -> None:
    if status:
        stack.api_status = status
    else:
        stack.api.stop()
    stack.lose = {0: "export"}
    ended = probe("--requests", "3", "--timeout", "0.5")
    assert ended.code == 1
    assert reason in ended.output
    assert "lost at: unknown" in ended.output
    assert "those of NGINX, Collector and Tempo could not be read" in ended.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("users:\n- user:\n    token: canary: x\n", "no usable kubeconfig: it is no YAML from line 3 on"),
        ("canary", "the kubeconfig is not one"),
    ],
)
def test_a_kubeconfig_that_is_none_is_told_without_what_is_in_it(
    probe: Probe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    file = tmp_path / "wrong"
    file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    for arguments in (("--json",), ("--watch", "0.1", "--rounds", "1")):
        ended = probe("--requests", "1", *arguments)
        assert said in ended.output
        assert "canary" not in ended.output + ended.errors


def test_without_an_access_log_nginx_is_not_blamed_for_what_tempo_discards(probe: Probe, stack: FakeStack) -> None:
    stack.access_log = False
    stack.lose = {2: "discarded"}
    ended = probe("--requests", "4", "--timeout", "0.5")
    assert "lost at: Tempo\n" in ended.output


def test_without_an_access_log_a_loss_that_nobody_counts_is_told_with_both_reasons(
    probe: Probe, stack: FakeStack
) -> None:
    stack.access_log = False
    stack.lose = {2: "forgotten"}
    ended = probe("--requests", "4", "--timeout", "0.5")
    assert "lost at: unknown" in ended.output
    assert "Either `nginx.accessLog` is off, or something else than this NGINX answers at nginxUrl" in ended.output


def test_a_pod_of_nginx_whose_log_is_gone_is_named_and_a_missing_line_proves_nothing(
    probe: Probe, stack: FakeStack
) -> None:
    stack.more_pods = {"nginx-0": "ended"}
    stack.lose = {2: "unlogged"}
    ended = probe("--requests", "4", "--timeout", "0.5")
    assert "lost at: unknown" in ended.output
    assert "nginx-0 ended during the run; its log is gone with it" in ended.output


def test_a_collector_that_cannot_be_read_is_no_sign_that_nginx_sent_too_little(probe: Probe, stack: FakeStack) -> None:
    stack.more_pods = {"otel-collector-2": "broken"}
    # As if half of the spans had gone by the other one.
    stack.lose = {0: "forgotten", 1: "unsent", 2: "unsent"}
    ended = probe("--requests", "4", "--timeout", "0.5")
    assert "lost at: unknown" in ended.output
    assert "the counters are incomplete: otel-collector-2 could not be read" in ended.output


def test_a_stack_without_a_tempo_of_its_own_is_told_what_goes_without(probe: Probe, stack: FakeStack) -> None:
    stack.has_tempo = False
    ended = probe()
    assert ended.code == 2
    assert "no Tempo of its own" in ended.errors
    assert "--watch" in ended.errors


def test_answers_that_are_not_2xx_are_counted_and_still_found(probe: Probe, stack: FakeStack) -> None:
    stack.nginx_status = 500
    ended = probe("--requests", "3")
    assert ended.code == 0
    assert "3 answered with 500" in ended.output


def test_an_nginx_that_ends_connections_may_want_the_proxy_protocol(probe: Probe) -> None:
    def no_answer(path: str, query: dict[str, str], headers: dict[str, str]) -> None:
        """Ends the connection."""

    closing = Server(no_answer)
    ended = probe("--nginx-url", closing.url)
    closing.stop()
    assert ended.code == 2
    assert "give the load balancer's address with --nginx-url" in ended.errors


def test_an_nginx_that_cannot_be_reached_is_a_clear_message_and_exit_code_2(probe: Probe, stack: FakeStack) -> None:
    stack.nginx.stop()
    ended = probe()
    assert (ended.code, ended.output) == (2, "")
    assert f"NGINX does not answer at {stack.nginx.url} (the stack output nginxUrl): " in ended.errors
    assert "kubectl get pods --namespace tracing --selector app.kubernetes.io/name=nginx" in ended.errors
    assert "pulumi config set nodeAddress ADDRESS" in ended.errors
    assert "Traceback" not in ended.errors


def test_a_tempo_that_cannot_be_reached_is_a_clear_message_and_exit_code_2(probe: Probe, stack: FakeStack) -> None:
    stack.tempo.stop()
    ended = probe("--json")
    assert (ended.code, ended.output) == (2, "")
    assert f"Tempo does not answer at {stack.tempo.url} (the stack output tempoUrl): " in ended.errors
    assert stack.received == []


def test_a_password_is_taken_from_the_environment_or_a_file_and_is_never_printed(
    probe: Probe, stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.password = "canary: pässword"  # noqa: S105 - a test's
    file = tmp_path / "password"
    file.write_text(f"{stack.password}\n")
    by_file = probe("--requests", "2", f"--tempo-password-file={file}")
    monkeypatch.setenv("TEMPO_PASSWORD", stack.password)
    for ended in (by_file, probe("--requests", "2"), probe("--requests", "2", "--json")):
        assert ended.code == 0, ended.errors
        assert "canary" not in ended.output + ended.errors


def test_a_password_that_is_not_known_or_refused_is_a_clear_message_and_nothing_is_sent(
    probe: Probe, stack: FakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.password = "right"  # noqa: S105 - a test's
    monkeypatch.delenv("TEMPO_PASSWORD", raising=False)
    unknown = probe()
    assert (unknown.code, unknown.output) == (2, "")
    assert "Tempo's API has a password, and the probe does not know it." in unknown.errors
    monkeypatch.setenv("TEMPO_PASSWORD", "canary")
    refused = probe()
    assert (refused.code, refused.output) == (2, "")
    assert f"Tempo at {stack.tempo.url} refuses the password" in refused.errors
    assert "canary" not in refused.errors
    missing = probe(f"--tempo-password-file={tmp_path / 'none'}")
    assert missing.code == 2
    assert "cannot be read" in missing.errors
    assert stack.received == []


def test_inside_the_cluster_the_way_there_is_told_and_taken(
    probe: Probe, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.probe.reach.REACHABLE_WITHIN_SECONDS", 0.2)
    urls = {"nginx": "http://nginx.tracing.svc", "tempo": "http://tempo.tracing.svc:3100"}
    ended = probe(f"--nginx-url={urls['nginx']}")
    assert ended.code == 2
    assert "kubectl port-forward --namespace tracing service/nginx 8080:80" in ended.errors
    assert "python -m tools probe --nginx-url http://localhost:8080" in ended.errors
    ended = probe(f"--tempo-url={urls['tempo']}")
    assert "kubectl port-forward --namespace tracing service/tempo 3100:3100" in ended.errors
    assert probe(f"--nginx-url={stack.nginx.url}", f"--tempo-url={stack.tempo.url}/", "--requests=2").code == 0


def test_an_nginx_that_answers_nothing_is_exit_code_2(probe: Probe, stack: FakeStack) -> None:
    stack.lose = dict.fromkeys(range(3), "unanswered")
    ended = probe("--requests", "3")
    assert ended.code == 2
    assert "none of 3 requests was answered" in ended.errors


@pytest.mark.parametrize(
    ("answer", "error"), [((503, "too many"), "HTTP 503: too many"), ((200, "<html>"), "answers something else than")]
)
def test_look_ups_that_fail_are_not_taken_for_missing_traces(
    probe: Probe, stack: FakeStack, answer: tuple[int, str], error: str
) -> None:
    stack.trace_answer = answer
    ended = probe("--requests", "2", "--timeout", "0.5")
    assert ended.code == 1
    assert "lost at: Tempo" in ended.output
    assert "look-ups failed; last: " in ended.output
    assert error in ended.output


def test_a_probe_ends_as_soon_as_all_is_found(probe: Probe) -> None:
    start = time.monotonic()
    assert probe("--requests", "2", "--timeout", "60").code == 0
    assert time.monotonic() - start < 10


def test_the_document_has_the_trace_with_its_attributes(probe: Probe, stack: FakeStack) -> None:
    (span,) = probe("--requests", "2", "--json").document["trace"]
    assert span["service"] == "nginx"
    assert (span["name"], span["kind"], span["status"], span["duration_seconds"]) == ("/", "SERVER", "UNSET", 0.001)
    assert span["span_id"] == "01" * 8
    assert span["parent_span_id"] in {seen.parent_id for seen in stack.received}
    assert span["attributes"] == {
        "http.method": "GET",
        "http.target": "/",
        "http.user_agent": stack.received[0].user_agent,
        "http.status_code": "200",
    }


def test_the_document_keeps_its_keys(probe: Probe) -> None:
    document = probe("--requests", "2", "--json").document
    assert list(document) == [
        "version", "run", "nginx_url", "tempo_url", "namespace", "search_query", "limit_seconds", "sent", "answers",
        "unanswered", "found_by_id", "found_by_search", "missing_by_id", "missing_by_search", "expected", "not_whole",
        "freshness_by_id", "freshness_by_search", "look_up_errors", "last_look_up_error", "hops", "verdict",
        "other_exporters", "trace", "requests",
    ]  # fmt: skip
    assert document["version"] == 1
    assert document["answers"] == {"200": 2}
    assert document["verdict"] is None
    assert list(document["requests"][0]) == [
        "trace_id", "status", "error", "duration_seconds", "fresh_by_id_seconds", "fresh_by_search_seconds",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--requests", "0"], "argument --requests: '0' is not a whole number from 1 up"),
        (["--timeout", "soon"], "argument --timeout: 'soon' is not a number of seconds above 0"),
        (
            ["--path", "shop"],
            "argument --path: 'shop' does not start with /, or has a character that must be %-encoded",
        ),
        (
            ["--path", "/a b"],
            "argument --path: '/a b' does not start with /, or has a character that must be %-encoded",
        ),
        (["--stack", "dev", "--outputs", "-"], "argument --outputs: not allowed with argument --stack"),
    ],
)
def test_wrong_arguments_are_named_with_what_is_allowed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
