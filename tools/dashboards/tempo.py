"""Makes the rows of the pipeline's dashboard that are about Tempo."""

from tools.dashboards.counters import SELECTED, rate
from tools.dashboards.panels import Json, graph, promql


def tempo() -> list[Json]:
    """Returns the panels of what Tempo takes and keeps."""
    return [
        graph("Spans received", rate("tempo_distributor_spans_received_total"), unit="cps"),
        graph("Bytes received", rate("tempo_distributor_bytes_received_total"), unit="Bps"),
        graph(
            "Spans discarded",
            rate("tempo_discarded_spans_total", ("reason",)),
            unit="cps",
            about="Tempo reports success to the sender, except for `rate_limited`, which the sender retries.",
        ),
        graph(
            "Live traces",
            promql(f"sum by (pod) (tempo_ingester_live_traces{{{SELECTED}}})", "{{pod}}"),
            unit="short",
            about="Traces that Tempo 2 holds in memory.",
        ),
        graph(
            "Ingesters",
            promql(f'max by (state) (tempo_ring_members{{{SELECTED}, name="ingester"}})', "{{state}}"),
            unit="short",
            about="As Tempo's distributors and queriers know them. One process has one.",
        ),
        graph(
            "Failures of the storage",
            rate("tempo_ingester_failed_flushes_total", name="to write a block"),
            rate("tempodb_blocklist_poll_errors_total", name="to list the blocks"),
            rate("tempodb_blocklist_tenant_index_errors_total", name="to read the blocks or write their index"),
            rate("tempodb_compaction_errors_total", name="to join blocks"),
            rate("tempodb_retention_errors_total", name="to delete a block"),
            unit="cps",
            about="Tempo repeats each of them.",
        ),
    ]


def blocks() -> list[Json]:
    """Returns the panels of what Tempo has written, and of who asks for it."""
    length, outstanding = "tempodb_blocklist_length", "tempodb_compaction_outstanding_blocks"
    waiting = "tempo_query_frontend_queue_length"
    return [
        graph(
            "Blocks in the storage",
            promql(f"max by (namespace) ({length}{{{SELECTED}}})", "{{namespace}}"),
            promql(f"max by (namespace) ({outstanding}{{{SELECTED}}})", "to be joined: {{namespace}}"),
            unit="short",
            about="It grows without a bound if no compactor joins blocks and deletes old ones.",
        ),
        graph(
            "Blocks joined and deleted",
            rate("tempodb_compaction_blocks_total", name="joined"),
            rate("tempodb_retention_deleted_total", name="deleted"),
            unit="cps",
        ),
        graph(
            "Queries",
            rate("tempo_query_frontend_queries_total", ("op",)),
            promql(f"sum by (pod) ({waiting}{{{SELECTED}}})", "wait: {{pod}}"),
            unit="short",
            about="Each second, and pieces of queries that wait for a querier.",
        ),
    ]


def metrics() -> list[Json]:
    """Returns the panels of the metrics that Tempo makes of spans."""
    generator, pushes = "tempo_metrics_generator", "pushes_failures_total"
    return [
        graph("Spans counted", rate(f"{generator}_spans_received_total"), unit="cps"),
        graph(
            "Spans left out",
            rate(f"{generator}_spans_discarded_total", ("reason",), "out of time"),
            rate(f"tempo_distributor_queue_{pushes}", name="generator too slow"),
            rate(f"tempo_distributor_metrics_generator_{pushes}", name="generator fails"),
            rate(f"{generator}_processor_service_graphs_dropped_spans", name="too many edges wait"),
            rate(f"{generator}_registry_series_limited_total", name="too many series"),
            unit="cps",
            about="The traces have them; rates, errors, durations and the service graph do not.",
        ),
        graph(
            "Samples that the Prometheus does not take",
            rate("prometheus_remote_storage_samples_failed_total", ("url",), "refused for good"),
            rate("prometheus_remote_storage_samples_retried_total", ("url",), "repeated"),
            unit="cps",
        ),
    ]
