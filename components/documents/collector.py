"""Builds the Collector's configuration: OTLP in, sampling and batches, OTLP out to every backend."""

import re
from collections.abc import Mapping

from components.documents import Document
from components.documents.collector_processors import processors_of
from components.documents.collector_spans import FORK, pipelines_of
from settings.collector import CollectorSettings
from settings.exporters import OtlpExporter
from settings.headers import in_lower_case
from settings.limits import Exports, batch_bytes, queue_bytes, queue_entries, receiver, stored_bytes, tail_batch
from settings.receivers import OTLP_HTTP_PORT, Cors
from settings.sizes import MIB
from settings.versions.collector import KNOWN, CollectorRelease

OTLP_PORT = 4317
METRICS_PORT = 8888
HEALTH_PORT = 13133

FOLDER = "/etc/otelcol"
SECRETS_FOLDER = "/etc/otelcol-secrets"
QUEUE_FOLDER = "/var/lib/otelcol"
ANYWHERE = "0.0.0.0"  # noqa: S104 - in the pod's own network namespace


def collector_document(
    settings: CollectorSettings, *, backend: str | None, namespace: str, exports: Exports, largest: int | None = None
) -> Document:
    """Returns the configuration of the Collector between NGINX and its backends; it names secrets by their files.

    Args:
        settings: what can be configured.
        backend: `host:port` of the stack's own Tempo, OTLP/gRPC without TLS; none if the stack has no Tempo.
        namespace: the namespace whose pods are looked up, with `kubernetesAttributes`.
        exports: the exports that NGINX sends.
        largest: the largest message that a Collector behind another one takes; none if it stands behind NGINX.
    """
    exporters: Document = {}
    queues = len(settings.exporters) + (backend is not None)
    names = _names(settings)
    if backend is not None:
        exporters[f"{names.grpc_exporter}/tempo"] = {
            "endpoint": backend,
            "tls": {"insecure": True},
            # gzip takes a tenth of the Collector's CPU time, and saves only the cluster's own network.
            "compression": "none",
            "timeout": TIMEOUT,
        } | _kept_until_taken(settings, exports, queues, is_tempo=True)
    for name, exporter in settings.exporters.items():
        kind = names.grpc_exporter if exporter.protocol == "grpc" else names.http_exporter
        kept = _kept_until_taken(settings, exports, queues, is_tempo=False)
        exporters[f"{kind}/{name}"] = _exporter(name, exporter) | {"timeout": TIMEOUT} | kept
    pipelines, processors = pipelines_of(settings, exports, processors_of(settings, namespace, exports), exporters)
    # No more than every backend takes: the sender learns of what this receiver refuses.
    received = receivers(settings, largest or receiver(settings), ages=largest is None)
    parts: Document = {"receivers": received, "processors": processors}
    if exports.upstream_spans:
        parts["connectors"] = {FORK: {}}
    return whole(settings, parts | {"exporters": exporters}, pipelines)


def receivers(settings: CollectorSettings, largest: int, *, ages: bool) -> Document:
    """Returns the receivers.

    Args:
        settings: what can be configured.
        largest: the bytes of the largest message that they take.
        ages: whether connections end after a while, if there are several replicas.
    """
    protocols: Document = {"grpc": {"endpoint": f"{ANYWHERE}:{OTLP_PORT}", "max_recv_msg_size_mib": largest // MIB}}
    if ages and (age := connection_age(settings)):
        # gRPC sends to one replica as long as its connection lasts. The next connection may reach another one.
        ageing = {"max_connection_age": f"{age}s", "max_connection_age_grace": f"{AGE_GRACE}s"}
        protocols["grpc"]["keepalive"] = {"server_parameters": ageing}
    if settings.receivers.http:
        protocols["http"] = {"endpoint": f"{ANYWHERE}:{OTLP_HTTP_PORT}", "max_request_body_size": largest} | _cors(
            settings.receivers.cors
        )
    return {"otlp": {"protocols": protocols}}


def whole(settings: CollectorSettings, parts: Document, pipelines: Document) -> Document:
    """Returns the document of its parts and pipelines, with the extensions and the Collector's own counters."""
    extensions: Document = {"health_check": {"endpoint": f"{ANYWHERE}:{HEALTH_PORT}"}}
    if settings.queue.is_persistent:
        extensions["file_storage"] = {"directory": QUEUE_FOLDER}
    return {
        **parts,
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


TIMEOUT = "30s"
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
