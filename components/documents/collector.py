"""Builds the Collector's configuration: OTLP in, sampling and batches, OTLP out to every backend."""

import re
from collections.abc import Mapping

from components.documents import Document
from components.documents.collector_spans import FORK, pipelines_of
from components.documents.collector_weights import weights
from settings.collector import CollectorSettings, TailSampling, percent
from settings.exporters import OtlpExporter
from settings.headers import in_lower_case
from settings.limits import Exports, batch_bytes, queue_bytes, queue_entries, receiver, stored_bytes, tail_batch
from settings.receivers import OTLP_HTTP_PORT, Cors
from settings.sizes import MIB
from settings.types import seconds
from settings.versions.collector import KNOWN, CollectorRelease

OTLP_PORT = 4317
METRICS_PORT = 8888
HEALTH_PORT = 13133

FOLDER = "/etc/otelcol"
SECRETS_FOLDER = "/etc/otelcol-secrets"
QUEUE_FOLDER = "/var/lib/otelcol"
ANYWHERE = "0.0.0.0"  # noqa: S104 - in the pod's own network namespace


def collector_document(
    settings: CollectorSettings, *, backend: str | None, namespace: str, exports: Exports
) -> Document:
    """Returns the configuration of the Collector between NGINX and its backends; it names secrets by their files.

    Args:
        settings: what can be configured.
        backend: `host:port` of the stack's own Tempo, OTLP/gRPC without TLS; none if the stack has no Tempo.
        namespace: the namespace whose pods are looked up, with `kubernetesAttributes`.
        exports: the exports that NGINX sends.
    """
    # No more than every backend takes: the sender learns of what this receiver refuses.
    message = receiver(settings)
    receivers: Document = {
        "grpc": {"endpoint": f"{ANYWHERE}:{OTLP_PORT}", "max_recv_msg_size_mib": message // MIB},
    }
    if age := connection_age(settings):
        # gRPC sends to one replica as long as its connection lasts. The next connection may reach another one.
        ageing = {"max_connection_age": f"{age}s", "max_connection_age_grace": f"{AGE_GRACE}s"}
        receivers["grpc"]["keepalive"] = {"server_parameters": ageing}
    if settings.receivers.http:
        receivers["http"] = {"endpoint": f"{ANYWHERE}:{OTLP_HTTP_PORT}", "max_request_body_size": message} | _cors(
            settings.receivers.cors
        )
    exporters: Document = {}
    queues = len(settings.exporters) + (backend is not None)
    names = _names(settings)
    if backend is not None:
        exporters[f"{names.grpc_exporter}/tempo"] = {
            "endpoint": backend,
            "tls": {"insecure": True},
            # gzip takes a tenth of the Collector's CPU time, and saves only the cluster's own network.
            "compression": "none",
            "timeout": _TIMEOUT,
        } | _kept_until_taken(settings, exports, queues, is_tempo=True)
    for name, exporter in settings.exporters.items():
        kind = names.grpc_exporter if exporter.protocol == "grpc" else names.http_exporter
        kept = _kept_until_taken(settings, exports, queues, is_tempo=False)
        exporters[f"{kind}/{name}"] = _exporter(name, exporter) | {"timeout": _TIMEOUT} | kept
    pipelines, processors = pipelines_of(settings, exports, _processors(settings, namespace, exports), exporters)
    extensions: Document = {"health_check": {"endpoint": f"{ANYWHERE}:{HEALTH_PORT}"}}
    if settings.queue.is_persistent:
        extensions["file_storage"] = {"directory": QUEUE_FOLDER}
    return {
        "receivers": {"otlp": {"protocols": receivers}},
        "processors": processors,
        **({"connectors": {FORK: {}}} if exports.upstream_spans else {}),
        "exporters": exporters,
        "extensions": extensions,
        "service": {
            "extensions": list(extensions),
            "telemetry": {"metrics": {"readers": [_metrics_reader()]}},
            "pipelines": pipelines,
        },
    }


AGE_GRACE = 10
"""The seconds that a call has to end on a connection that is too old."""


def connection_age(settings: CollectorSettings) -> int | None:
    """Returns the seconds after which the Collector ends a gRPC connection; none if there is no other replica.

    gRPC adds or takes away a tenth at random. A pod that drains waits for its clients to leave, so they leave sooner.
    """
    if settings.most_replicas < 2:
        return None
    return 15 if settings.queue.drains else 60


def _names(settings: CollectorSettings) -> CollectorRelease:
    """Returns the release after whose names the exporters are called.

    The name of a persistent queue's file has the exporter's type in it (`GetClient` in filestorage's `extension.go`).
    With its new name an exporter would leave behind what waits in the file of its old one, so it keeps the old one,
    which is an alias of the new.
    """
    return CollectorRelease(KNOWN[0]) if settings.queue.is_persistent else settings.release


def secret_files(exporters: Mapping[str, OtlpExporter]) -> dict[str, str]:
    """Returns the exporters' headers and private keys in plain text, by their files' names in `SECRETS_FOLDER`."""
    headers = {
        # The Collector looks for `$` in what it reads from a file, too.
        _secret_file(name, header): value.get_secret_value().replace("$", "$$")
        for name, exporter in exporters.items()
        for header, value in in_lower_case(exporter.headers).items()
    }
    keys = {
        _key_file(name): exporter.tls.client_key.get_secret_value()
        for name, exporter in exporters.items()
        if exporter.tls.client_key
    }
    return headers | keys


def certificate_files(exporters: Mapping[str, OtlpExporter]) -> dict[str, str]:
    """Returns the receivers' authorities and the Collector's own certificates, by their files' names in `FOLDER`."""
    files: dict[str, str] = {}
    for name, exporter in exporters.items():
        if exporter.tls.ca_bundle:
            files[_authorities_file(name)] = exporter.tls.ca_bundle
        if exporter.tls.client_certificate:
            files[_certificate_file(name)] = exporter.tls.client_certificate
    return files


def _cors(cors: Cors | None) -> Document:
    if cors is None:
        return {}
    # The Collector takes only the headers of a configured list, whatever its documentation says. Browsers ask for
    # Content-Type before they send spans in JSON.
    headers = {"allowed_headers": ["content-type", *cors.allowed_headers]} if cors.allowed_headers else {}
    return {"cors": {"allowed_origins": cors.allowed_origins} | headers}


def _secret_file(exporter: str, header: str) -> str:
    return f"{exporter}.{header}"


def _key_file(exporter: str) -> str:
    # `_` is in no exporter's name, so no header's file has this name.
    return f"{exporter}_client-key.pem"


def _authorities_file(exporter: str) -> str:
    return f"{exporter}-ca.pem"


def _certificate_file(exporter: str) -> str:
    return f"{exporter}-client.pem"


def _processors(settings: CollectorSettings, namespace: str, exports: Exports) -> Document:
    """Returns the processors in the order of the pipeline."""
    # memory_limiter is first, as its documentation demands: it must refuse spans before others hold them.
    processors: Document = {
        "memory_limiter": {
            "check_interval": "1s",
            "limit_percentage": settings.memory_limiter.limit_percentage,
            "spike_limit_percentage": settings.memory_limiter.spike_limit_percentage,
            # The default is 10 s, in which garbage alone makes it refuse spans.
            "min_gc_interval_when_soft_limited": "1s",
        }
    }
    if settings.sampling.ratio is not None:
        processors["probabilistic_sampler"] = {"sampling_percentage": percent(settings.sampling.ratio)}
    processors |= weights(settings.sampling.ratio, are_sampled=exports.are_sampled)
    if settings.kubernetes_attributes:
        # Before anything that mixes spans of several connections: it finds the pod by the connection.
        processors[settings.release.kubernetes_attributes] = _kubernetes_attributes(namespace)
    if settings.sampling.tail is not None:
        processors["tail_sampling"] = _tail_sampling(settings.sampling.tail)
    if not settings.release.has_batch_processor:
        # Tail sampling's traces are gathered in the queues (`_gathered`). Nothing splits, as before a persistent queue.
        return processors
    if settings.sampling.tail is not None:
        # Tail sampling passes traces on one by one, and would fill the queue with single traces.
        size = tail_batch(settings, exports)
        processors["batch"] = {
            "timeout": settings.batch.timeout,
            "send_batch_size": size,
            "send_batch_max_size": size,
        }
    elif not settings.queue.is_persistent:
        # Gathers nothing (0) and splits: one push of 100 000 spans, each of its own trace, took Tempo 15 s and 2.6 GB.
        # Not before a persistent queue: a crash would lose spans here after their sender got its answer.
        processors["batch"] = {
            "timeout": "0s",
            "send_batch_size": 0,
            "send_batch_max_size": settings.batch.size,
        }
    return processors


def _kubernetes_attributes(namespace: str) -> Document:
    return {
        "filter": {"namespace": namespace},
        "extract": {
            "metadata": ["k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.deployment.name", "k8s.node.name"]
        },
        "pod_association": [{"sources": [{"from": "connection"}]}],
    }


def _tail_sampling(tail: TailSampling) -> Document:
    policies: list[Document] = []
    if tail.errors:
        policies.append({"name": "errors", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}})
    if tail.latency is not None:
        milliseconds = int(seconds(tail.latency) * 1000)
        policies.append({"name": "latency", "type": "latency", "latency": {"threshold_ms": milliseconds}})
    if tail.ratio is not None:
        probabilistic = {"sampling_percentage": percent(tail.ratio)}
        policies.append({"name": "ratio", "type": "probabilistic", "probabilistic": probabilistic})
    return {"decision_wait": tail.decision_wait, "num_traces": tail.traces, "policies": policies}


def _exporter(name: str, exporter: OtlpExporter) -> Document:
    # gRPC takes host:port; `tls` says what the scheme says.
    endpoint = re.sub("^https?://", "", exporter.endpoint) if exporter.protocol == "grpc" else exporter.endpoint
    tls: Document = {} if exporter.tls.enabled else {"insecure": True}
    if exporter.tls.ca_bundle:
        tls["ca_file"] = f"{FOLDER}/{_authorities_file(name)}"
    if exporter.tls.client_certificate:
        # `reload_interval` is not needed: an edit gives the files new names, and starts new pods with them.
        tls |= {
            "cert_file": f"{FOLDER}/{_certificate_file(name)}",
            "key_file": f"{SECRETS_FOLDER}/{_key_file(name)}",
        }
    if exporter.tls.server_name:
        tls["server_name_override"] = exporter.tls.server_name
    headers = {
        header: f"${{file:{SECRETS_FOLDER}/{_secret_file(name, header)}}}" for header in in_lower_case(exporter.headers)
    }
    return {"endpoint": endpoint} | ({"tls": tls} if tls else {}) | ({"headers": headers} if headers else {})


_TIMEOUT = "30s"
"""The time for one attempt. The default of 5 s asks for 27 Mbit/s and an idle backend, for the largest message."""


def _kept_until_taken(settings: CollectorSettings, exports: Exports, queues: int, *, is_tempo: bool) -> Document:
    """Returns the settings by which an exporter keeps spans until its backend takes them.

    Args:
        settings: what can be configured.
        exports: the exports that NGINX sends.
        queues: the number of queues on the volume, one for each exporter.
        is_tempo: whether the backend is the stack's own Tempo.
    """
    # The default is 1000 requests, which fill in minutes. In bytes, the bound is memory, or the volume.
    queue: Document = {"sizer": "bytes", "queue_size": queue_bytes(settings)}
    if settings.queue.is_persistent:
        queue = {"queue_size": queue_entries(settings, exports, queues), "storage": "file_storage"}
        if settings.release.sizes_persistent_queue:
            queue |= {"sizer": "bytes", "queue_size": stored_bytes(settings, queues)}
    return {
        # The default is 300 s, after which the Collector drops the batch. 0 is for ever.
        "retry_on_failure": {"initial_interval": "1s", "max_interval": "10s", "max_elapsed_time": "0s"},
        "sending_queue": queue | _gathered(settings, exports, is_tempo=is_tempo),
    }


def _gathered(settings: CollectorSettings, exports: Exports, *, is_tempo: bool) -> Document:
    """Returns the key of a queue by which its exporter gathers spans, if it has to be set."""
    if settings.sampling.tail is not None and not settings.release.has_batch_processor:
        # The same batches as those of the processor: in spans, whatever the queue is measured in (`BatchConfig` in
        # exporterhelper's `queuebatch/config.go`, 0.160).
        size = tail_batch(settings, exports)
        sizes = {"sizer": "items", "min_size": size, "max_size": size}
        return {"batch": {"flush_timeout": settings.batch.timeout} | sizes}
    if is_tempo and settings.gathers_in_queue:
        # In bytes, as the queue: a batch is at most `min_size` and one message. `max_size` is not set: Collector
        # 0.126 loops for ever on a single span that is larger, 0.160 drops all that are gathered with it, and 0.165
        # that span (`split` in exporterhelper's `traces_batch.go`).
        return {"batch": {"flush_timeout": settings.batch.timeout, "min_size": batch_bytes(settings)}}
    # Joined, two messages may be larger than the receiver takes.
    return {"batch": {"enabled": False}} if settings.release.batches_by_default else {}


def _metrics_reader() -> Document:
    """Returns the reader of the Collector's own counters: reachable by others, and with the documentation's names."""
    plain = dict.fromkeys(("without_type_suffix", "without_units", "without_scope_info"), True)
    return {"pull": {"exporter": {"prometheus": {"host": ANYWHERE, "port": METRICS_PORT} | plain}}}
