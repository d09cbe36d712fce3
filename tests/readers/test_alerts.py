"""Tests the alerts with Prometheus' own promtool."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.build.targets import PROMTOOL
from lab.paths import REPOSITORY
from tests import golden

pytestmark = pytest.mark.usefixtures("programs")

ALERTS = REPOSITORY / "monitoring" / "alerts.yaml"

NAMESPACE = 'namespace="tracing"'
OWN = 'app_kubernetes_io_part_of="nginx-tracing"'
"""The label that Prometheus copies from the stack's pods."""

POD = f'{NAMESPACE},pod="otel-collector-0"'
DECIDER = f'{NAMESPACE},pod="otel-collector-decider-0"'
TO_ONE_DECIDER = f'exporter="otlp/loadbalancing/deciders_10.0.0.2:4317",{POD}'
EXPORTER = f'exporter="otlp/tempo",{POD}'
REASON = f'{NAMESPACE},reason="trace_too_large"'
TEMPO_POD = f'{NAMESPACE},pod="tempo-0"'
INDEX_ERRORS = f'tempodb_blocklist_tenant_index_errors_total{{{TEMPO_POD},tenant="single-tenant"}}'
WRITE_URL = "http://prometheus.tracing.svc:9090/api/v1/write"
NGINX_RUNS = {'nginx_connections{namespace="tracing",pod="nginx-0",state="active"}': "3x2000"}
SENT = f"otelcol_exporter_sent_spans{{{EXPORTER}}}"
SENT_BY_0_144 = SENT.replace("otlp/", "otlp_grpc/")
"""The same counter from Collector 0.144 on, unless the queue is on a volume."""
RECEIVED = 'tempo_distributor_spans_received_total{namespace="tracing",pod="tempo-0"}'
UP = f"up{{{POD}}}"

LOSSES = {
    "CollectorRefusesSpans": ("otelcol_receiver_refused_spans", POD),
    "CollectorQueueIsFull": ("otelcol_exporter_enqueue_failed_spans", EXPORTER),
    "CollectorGivesUpSpans": ("otelcol_exporter_send_failed_spans", EXPORTER),
    "CollectorDropsUndecidedTraces": ("otelcol_processor_tail_sampling_sampling_trace_dropped_too_early", DECIDER),
    "TempoDiscardsSpans": ("tempo_discarded_spans_total", REASON),
    "TempoCannotStoreBlocks": ("tempo_ingester_failed_flushes_total", TEMPO_POD),
    "TempoCannotReadStorage": ("tempodb_blocklist_poll_errors_total", TEMPO_POD),
    "TempoCannotDeleteBlocks": ("tempodb_retention_errors_total", TEMPO_POD),
    "MetricsLeaveSpansOut": (
        "tempo_metrics_generator_spans_discarded_total",
        f'{NAMESPACE},reason="outside_metrics_ingestion_slack"',
    ),
    "MetricsGeneratorQueueIsFull": ("tempo_distributor_queue_pushes_failures_total", TEMPO_POD),
    "MetricsGeneratorFails": ("tempo_distributor_metrics_generator_pushes_failures_total", TEMPO_POD),
    "ServiceGraphDropsSpans": ("tempo_metrics_generator_processor_service_graphs_dropped_spans", TEMPO_POD),
    "MetricsHaveTooManySeries": ("tempo_metrics_generator_registry_series_limited_total", TEMPO_POD),
    "MetricsAreRefused": ("prometheus_remote_storage_samples_failed_total", f'{NAMESPACE},url="{WRITE_URL}"'),
}
"""The alerts on counters that count losses alone: the counter, and the labels that the alert's text needs."""


@dataclass(frozen=True)
class Story:
    """Holds what Prometheus reads, minute by minute, and which alert fires at which minute."""

    series: dict[str, str]
    fires: dict[int, str]
    """The alert that fires, with its labels, at each of these minutes."""
    silent: Sequence[int] = ()
    """The minutes at which none does."""


def of_losses(alert: str) -> dict[str, Story]:
    """Returns the stories of an alert on a counter of losses."""
    metric, labels = LOSSES[alert]
    fires = f'{{alertname="{alert}",{labels}}}'

    def story(values: str, firing: Sequence[int], silent: Sequence[int]) -> Story:
        return Story({f"{metric}{{{labels}}}": values}, dict.fromkeys(firing, fires), silent)

    stories = {
        "grows": story("0+5x40", (2, 25), (0,)),
        "grows once": story("7x20 9x40", (21, 29), (20, 31, 60)),
        "is born above zero": story("_x10 5000x40", (10, 11, 19), (9, 20, 50)),
        "is born at zero": story("_x10 0x40", (), range(50)),
        "stands still": story("7x300", (), range(10, 300)),
        # Prometheus cannot know when what it reads first was counted.
        "is old when Prometheus first reads it": story("7x300", (0, 9), (10,)),
        "goes unread for a minute": story("7x20 stale 7x40", (), range(10, 60)),
        "goes unread for five minutes": story("7x20 stale _x3 7x40", (), range(10, 60)),
    }
    # A restarted process counts from zero, maybe to less than the process before it, whose count the alert keeps for up
    # to fifteen minutes. Some losses are therefore reported five minutes late.
    for minutes, firing in ((4, (24, 29)), (9, (29,)), (12, (35, 41)), (30, (50, 59))):
        values = f"7x20 stale _x{minutes - 2} 3x60"
        stories[f"is born again after {minutes} minutes"] = story(values, firing, (20, 20 + minutes + 10, 80))
    return {f"{alert}: the counter {name}": told for name, told in stories.items()}


def of_a_volume(claim: str) -> Story:
    """Returns the story of a volume that fills."""
    labels = f'{NAMESPACE},persistentvolumeclaim="{claim}"'
    return Story(
        {
            f"kubelet_volume_stats_available_bytes{{{labels}}}": "11x20 9x40",
            f"kubelet_volume_stats_capacity_bytes{{{labels}}}": "100x60",
        },
        dict.fromkeys((26, 60), f'{{alertname="VolumeIsNearlyFull",{labels}}}'),
        range(26),
    )


CLAIMS = {
    f"{template['metadata']['name']}-{item['metadata']['name']}-{ordinal}"
    for case in golden.cases()
    for item in golden.objects(case).values()
    if item["kind"] == "StatefulSet"
    for template in item["spec"]["volumeClaimTemplates"]
    for ordinal in range(item["spec"]["replicas"])
}
"""The claims that Kubernetes makes for what the program makes, by their names."""


def members(state: str, part: str = "ingester") -> str:
    """Returns the counter of a part's processes in a state, as a distributor knows them."""
    return f'tempo_ring_members{{{NAMESPACE},name="{part}",state="{state}",pod="tempo-distributor-1a2b"}}'


GENERATORS = members("ACTIVE", "metrics-generator")


def part(pod: str) -> str:
    """Returns the series by which Prometheus says whether it reads one of Tempo's pods."""
    return f'up{{{NAMESPACE},pod="tempo-{pod}"}}'


STORIES = {
    **{name: story for alert in LOSSES for name, story in of_losses(alert).items()},
    **{f"the volume {claim} is nearly full": of_a_volume(claim) for claim in sorted(CLAIMS)},
    "nothing is wrong": Story(
        NGINX_RUNS
        | {
            UP: "1x60",
            SENT: "_x5 40+100x60",
            RECEIVED: "_x5 40+100x60",
            f"otelcol_receiver_refused_spans{{{POD}}}": "0x60",
            f"otelcol_exporter_queue_size{{{EXPORTER}}}": "0x60",
            f"otelcol_exporter_queue_capacity{{{EXPORTER}}}": "100x60",
        },
        {},
        range(60),
    ),
    "a queue is over half full": Story(
        {
            f"otelcol_exporter_queue_size{{{EXPORTER}}}": "40x10 60x30",
            f"otelcol_exporter_queue_capacity{{{EXPORTER}}}": "100x40",
        },
        {13: f'{{alertname="CollectorQueueFills",{EXPORTER}}}'},
        range(13),
    ),
    "a tenth of what is sent does not arrive": Story(
        {SENT: "0+100x40", RECEIVED: "0+90x40"}, {25: f'{{alertname="SpansDoNotArrive",{NAMESPACE}}}'}
    ),
    "Tempo's counter stands still while spans are sent": Story(
        {SENT: "0+100x40", RECEIVED: "7x40"}, {25: f'{{alertname="SpansDoNotArrive",{NAMESPACE}}}'}
    ),
    "a tenth of what Collector 0.144 sends does not arrive": Story(
        {SENT_BY_0_144: "0+100x40", RECEIVED: "0+90x40"}, {25: f'{{alertname="SpansDoNotArrive",{NAMESPACE}}}'}
    ),
    "a tenth of what an old and a new Collector send does not arrive": Story(
        {SENT: "0+50x40", SENT_BY_0_144.replace("-0", "-1"): "0+50x40", RECEIVED: "0+90x40"},
        {25: f'{{alertname="SpansDoNotArrive",{NAMESPACE}}}'},
    ),
    "an old Collector makes way for a new one": Story(
        {SENT: "0+100x30 stale", SENT_BY_0_144.replace("-0", "-1"): "_x29 0+100x40", RECEIVED: "0+100x70"},
        {},
        range(70),
    ),
    "Tempo is replaced, with a minute's spans that were never read": Story(
        {SENT: "0+100x60", RECEIVED: "0+100x18 stale", RECEIVED.replace("-0", "-1"): "_x21 100+100x60"}, {}, range(60)
    ),
    "Tempo is away for half an hour, and gets all at once": Story(
        {SENT: "0+100x19 1900x30 5000+100x60", RECEIVED: "0+100x19 stale _x29 3100+100x60"}, {}, range(100)
    ),
    "spans are sent, and Tempo has no counter": Story(
        {SENT: "0+100x60"}, dict.fromkeys((10, 30, 60), f'{{alertname="TempoCountsNoSpans",{NAMESPACE}}}'), (0, 5)
    ),
    "spans are sent once, and Tempo has no counter": Story(
        {SENT: "_x10 5000x60"}, dict.fromkeys((15, 19), f'{{alertname="TempoCountsNoSpans",{NAMESPACE}}}'), (14, 20, 60)
    ),
    "Collector 0.144 sends spans, and Tempo has no counter": Story(
        {SENT_BY_0_144: "0+100x60"},
        dict.fromkeys((10, 30, 60), f'{{alertname="TempoCountsNoSpans",{NAMESPACE}}}'),
        (0, 5),
    ),
    "spans are sent, and only another namespace's Tempo has a counter": Story(
        {SENT: "0+100x60", RECEIVED.replace("tracing", "other"): "0+100x60"},
        {30: f'{{alertname="TempoCountsNoSpans",{NAMESPACE}}}'},
    ),
    "Tempo's counter disappears while spans are sent": Story(
        {SENT: "0+100x90", RECEIVED: "0+100x19 stale"},
        dict.fromkeys((45, 90), f'{{alertname="TempoCountsNoSpans",{NAMESPACE}}}'),
        range(35),
    ),
    "Tempo's counter disappears with the last spans": Story(
        {SENT: "0+100x19 1900x60", RECEIVED: "0+100x19 stale"}, {}, range(80)
    ),
    "Tempo has no counter, and no span was sent": Story({SENT: "0x60"}, {}, range(60)),
    "spans are sent to other backends than the stack's Tempo": Story(
        {
            SENT.replace("otlp/tempo", "otlp/vendor"): "0+100x60",
            SENT.replace("otlp/tempo", "otlphttp/tempo-cloud"): "_x10 5000x60",
            SENT.replace("otlp/tempo", "otlp_grpc/tempo-cloud"): "0+100x60",
            SENT.replace("otlp/tempo", "otlp_http/tempo"): "0+100x60",
        },
        {},
        range(60),
    ),
    "spans are sent to the stack's Tempo and to another backend": Story(
        {SENT: "0+100x60", SENT.replace("otlp/tempo", "otlp/vendor"): "0+100x60", RECEIVED: "0+100x60"}, {}, range(60)
    ),
    "Tempo cannot write the index of its blocks, which it does every five minutes": Story(
        {INDEX_ERRORS: "_x5 1x5 2x5 3x5 4x40"},
        dict.fromkeys((11, 20, 29), f'{{alertname="TempoCannotReadStorage",{TEMPO_POD}}}'),
        (*range(10), 35, 60),
    ),
    "a querier looks for the index before the first one is written": Story({INDEX_ERRORS: "_x5 1x60"}, {}, range(60)),
    "Tempo cannot delete the blocks that it has joined": Story(
        {f"tempodb_compaction_errors_total{{{TEMPO_POD}}}": "0x5 2x5 4x30"},
        dict.fromkeys((6, 20), f'{{alertname="TempoCannotDeleteBlocks",{TEMPO_POD}}}'),
        (*range(5), 30),
    ),
    "an ingester of a distributed Tempo is lost": Story(
        {members("ACTIVE"): "4x10 3x30", members("Unhealthy"): "0x10 1x30"},
        dict.fromkeys((16, 40), f'{{alertname="TempoLacksIngesters",{NAMESPACE}}}'),
        range(16),
    ),
    "an ingester of a distributed Tempo has left": Story(
        {members("ACTIVE"): "3x10 2x30", members("Unhealthy"): "0x40"},
        {16: f'{{alertname="TempoLacksIngesters",{NAMESPACE}}}'},
        range(16),
    ),
    "the ingesters of a distributed Tempo are replaced": Story(
        {members("ACTIVE"): "3x10 2x4 3x1 2x4 3x30", members("Unhealthy"): "0x60"}, {}, range(50)
    ),
    "the only metrics generator of a distributed Tempo is away": Story(
        {GENERATORS: "0x5 1x10 0x2000"},
        dict.fromkeys((17, 60, 1400), f'{{alertname="TempoLacksMetricsGenerator",{NAMESPACE}}}'),
        (*range(17), 1500),
    ),
    "a distributor starts, and knows no metrics generator yet": Story(
        {GENERATORS: "1x30", GENERATORS.replace("1a2b", "3c4d"): "1x10 0x2 1x20"}, {}, range(30)
    ),
    "a distributed Tempo makes no metrics": Story({GENERATORS: "0x30"}, {}, range(30)),
    "the generator of a Tempo of one process starts": Story(
        {GENERATORS.replace("distributor-1a2b", "0"): "1x10 0x1 1x20"}, {}, range(30)
    ),
    "Tempo is one process with one ingester": Story(
        {members("ACTIVE").replace("distributor-1a2b", "0"): "1x40"}, {}, range(40)
    ),
    "a querier of a distributed Tempo is down, and another one is up": Story(
        {part("querier-1a2b-x"): "1x10 0x40", part("querier-1a2b-y"): "1x60", part("query-frontend-1a2b-x"): "1x60"},
        dict.fromkeys((16, 40), f'{{alertname="TempoPartDown",{OWN},{NAMESPACE},pod="tempo-querier-1a2b-x"}}'),
        range(15),
    ),
    "the one compactor of a distributed Tempo is gone": Story(
        {part("compactor-1a2b-x"): "1x10 stale", part("distributor-1a2b-x"): "1x1500"},
        dict.fromkeys((17, 600, 1440), f'{{alertname="TempoLacksPart",{NAMESPACE},part="compactor"}}'),
        (*range(15), 1460),
    ),
    "the one metrics generator of a distributed Tempo is replaced": Story(
        {part("metrics-generator-0"): "1x10 0x2 1x40", part("distributor-1a2b-x"): "1x60"}, {}, range(50)
    ),
    "a distributed Tempo becomes one process": Story(
        {part(f"{name}-1a2b-x"): "1x10 stale" for name in ("distributor", "querier", "query-frontend", "compactor")}
        | {part("0"): "1x60"},
        {},
        range(60),
    ),
    "a Collector is down": Story(
        NGINX_RUNS | {UP: "1x10 0x40", UP.replace("-0", "-1"): "1x50"},
        dict.fromkeys((12, 50), f'{{alertname="CollectorDown",{OWN},{POD}}}'),
        range(12),
    ),
    "a Collector is down, and NGINX too": Story(
        {UP: "1x10 0x90", **dict.fromkeys(NGINX_RUNS, "3x10 stale")},
        {50: f'{{alertname="CollectorDown",{OWN},{POD}}}'},
        [80],
    ),
    "a Collector that is not this stack's is down": Story(
        NGINX_RUNS | {UP.replace("tracing", "other"): "1x10 0x40"}, {}, range(50)
    ),
    "something else than a Collector is down": Story(
        NGINX_RUNS | {UP: "1x50", UP.replace("otel-collector-0", "nginx-0"): "1x10 0x40"}, {}, range(50)
    ),
    "a decider is down": Story(
        NGINX_RUNS | {f"up{{{DECIDER}}}": "1x10 0x40", UP: "1x50"},
        dict.fromkeys((12, 50), f'{{alertname="CollectorDeciderDown",{OWN},{DECIDER}}}'),
        range(12),
    ),
    "the first tier is gone, and deciders run": Story(
        NGINX_RUNS | {UP: "1x10 stale", f"up{{{DECIDER}}}": "1x100"},
        dict.fromkeys((13, 60), f'{{alertname="NoCollector",{NAMESPACE}}}'),
        (0, 10),
    ),
    "a decider refuses spans, and one dies, which the first tier sends again": Story(
        {
            f"otelcol_receiver_refused_spans{{{DECIDER}}}": "0+5x40",
            f"otelcol_exporter_send_failed_spans{{{TO_ONE_DECIDER}}}": "0+5x40",
        },
        {},
        range(40),
    ),
    "the first tier gives up spans": Story(
        {f'otelcol_exporter_send_failed_spans{{exporter="load_balancing/deciders",{POD}}}': "0+5x40"},
        {20: f'{{alertname="CollectorGivesUpSpans",exporter="load_balancing/deciders",{POD}}}'},
    ),
    "a decider more": Story(
        {
            f"otelcol_loadbalancer_num_backend_updates{{{POD}}}": "_x5 1x20 2x40",
            f"otelcol_processor_tail_sampling_new_trace_id_received{{{DECIDER}}}": "0+600x70",
        },
        dict.fromkeys((27, 34), f'{{alertname="CollectorDecidersChange",{NAMESPACE}}}'),
        (*range(25), 40, 60),
    ),
    "the Collector is gone": Story(
        NGINX_RUNS | {UP: "1x10 stale", UP.replace("tracing", "other"): "1x2000"},
        dict.fromkeys((13, 60, 600, 1440), f'{{alertname="NoCollector",{NAMESPACE}}}'),
        (0, 10, 1460),
    ),
    "the Collectors are replaced": Story(
        NGINX_RUNS | {UP: "1x10 stale", UP.replace("-0", "-1"): "_x9 1x50"}, {}, range(60)
    ),
    "there never was a Collector": Story(NGINX_RUNS, {}, range(0, 2000, 100)),
    "the stack is removed": Story({UP: "1x10 stale", **dict.fromkeys(NGINX_RUNS, "3x10 stale")}, {}, range(60)),
    "another stack's Collector is gone": Story(
        NGINX_RUNS | {UP.replace("tracing", "other"): "1x10 stale", UP: "1x50"}, {}, range(50)
    ),
    "others' Collector and Tempo in the stack's namespace lose spans": Story(
        NGINX_RUNS
        | {UP: "1x60"}
        | {f'{metric}{{app_kubernetes_io_part_of="theirs",{labels}}}': "0+5x60" for metric, labels in LOSSES.values()},
        {},
        range(60),
    ),
    "Prometheus does not copy the labels of pods": Story(
        {'nginx_connections{app_kubernetes_io_part_of="",namespace="tracing",pod="nginx-0",state="active"}': "3x60"},
        {10: f'{{alertname="StackHasNoLabels",{NAMESPACE}}}'},
        (0, 4),
    ),
    "the receiver of metrics is away for half an hour": Story(
        {f'prometheus_remote_storage_samples_retried_total{{{NAMESPACE},url="{WRITE_URL}"}}': "0x10 0+50x30 1500x60"},
        {40: f'{{alertname="MetricsAreNotWritten",{NAMESPACE},url="{WRITE_URL}"}}'},
        (*range(20), *range(50, 100)),
    ),
    "other volumes are nearly full": Story(
        {
            f'kubelet_volume_stats_{what}_bytes{{{NAMESPACE},persistentvolumeclaim="{claim}"}}': values
            for claim in ("data-postgres-0", "old-data-tempo-0", "queue-otel-collector-0-copy")
            for what, values in (("available", "5x60"), ("capacity", "100x60"))
        },
        {},
        range(60),
    ),
}


def labelled(series: str) -> str:
    """Adds the stack's label to a series of its pods; series of kubelets and of others get none."""
    own = "kubelet_" not in series and "app_kubernetes_io_part_of" not in series
    return series.replace("{", f"{{{OWN},", 1) if own else series


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROMTOOL.folder / "promtool", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_prometheus_reads_the_alerts() -> None:
    checked = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def told_by_prometheus(story: Story) -> dict[str, Any]:
    """Returns a group of promtool's tests: each minute's alerts, on the story's series."""
    expected = [(minute, [{"labels": labels, "value": 1}]) for minute, labels in story.fires.items()]
    expected += [(minute, []) for minute in story.silent]
    # Prometheus' own record of all alerts.
    firing = 'max without (alertstate, severity) (ALERTS{alertstate="firing"})'
    return {
        "interval": "1m",
        "input_series": [{"series": labelled(series), "values": values} for series, values in story.series.items()],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{minute}m", "exp_samples": samples} for minute, samples in expected
        ],
    }


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Runs all stories at once, since each start of promtool takes as long as fifty; returns what it says is wrong."""
    tests = [{"name": f"story {number}"} | told_by_prometheus(story) for number, story in enumerate(STORIES.values())]
    file = tmp_path_factory.mktemp("alerts") / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    tested = promtool("test", "rules", file)
    said = tested.stdout + tested.stderr
    assert tested.returncode == 0 or "name: story " in said, said
    return said if tested.returncode else ""


@pytest.mark.parametrize("name", STORIES)
def test_each_alert_fires_when_it_is_to_and_not_else(name: str, wrong: str) -> None:
    assert f"name: story {list(STORIES).index(name)}," not in wrong, wrong


def test_every_alert_fires_in_a_story() -> None:
    told = " ".join(labels for story in STORIES.values() for labels in story.fires.values())
    names = [rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert [name for name in names if f'alertname="{name}"' not in told] == []
