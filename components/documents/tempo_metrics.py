"""Builds the parts of tempo.yaml that make metrics of spans: the metrics generator, and where it writes them.

Its processors: `local-blocks` keeps spans for metrics by TraceQL, which Tempo 3 does without it; `span-metrics` counts
spans by service, name, kind and status; `service-graphs` pairs CLIENT and SERVER spans to edges between services.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from components.documents import Document
from settings.headers import in_lower_case
from settings.metrics import MetricsSettings, RemoteWrite, login_of
from settings.sampling import RATIO
from settings.tempo import TempoSettings
from settings.types import seconds

CONFIG_FOLDER = "/etc/tempo"
"""The folder of tempo.yaml."""

SECRETS_FOLDER = "/etc/tempo-metrics"
CA_FILE = "metrics-ca.pem"
"""The authorities of the receiver of metrics, if they are configured, beside tempo.yaml."""

_LOGIN_FILE = "authorization"
_USER_FILE = "_user"
"""No header has this name."""

EDGES = 100_000
"""Edges that wait for their second span, for ten seconds (`service_graphs.wait` by default): those of 5 000 requests a
second with two edges each. The default of 10 000 drops edges from 1 000 requests a second on."""

SERIES = 100_000
"""Series that Tempo makes at most. Our choice: a service's name or a span's may come from a client, and each new one is
some twenty series. Tempo counts what it leaves out: `tempo_metrics_generator_registry_series_limited_total`."""

_DEFAULT_BORDER = 30 * 60
"""`query_frontend.metrics.query_backend_after` by default, in seconds. The generator keeps its copy twice as long."""

_BLOCK_SECONDS = 60
"""`local_blocks.max_block_duration` by default."""

_PEERS = ["peer.service", "server.address", "db.name", "db.system"]
"""Attributes of a CLIENT span that name a service without spans of its own: Tempo's default, and the address."""


@dataclass(frozen=True)
class Writes:
    """Where Tempo writes its metrics, and the files for that."""

    receivers: Sequence[Document] = ()
    """Entries of `remote_write`, as Prometheus documents them."""

    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers and passwords in plain text, by their files' names in `SECRETS_FOLDER`."""

    host: tuple[str, int] | None = None
    """Host and port of the user's own receiver."""

    certificates: Mapping[str, str] = field(default_factory=dict[str, str])
    """Authorities, by their files' names beside tempo.yaml."""


def writes(settings: MetricsSettings, headers: Mapping[str, SecretStr]) -> Writes:
    """Returns where Tempo writes its metrics besides the stack's own Prometheus, and the files for that.

    Args:
        settings: what can be configured.
        headers: the headers of each write.
    """
    write = settings.remote_write
    if write is None:
        return Writes()
    document = _receiver(write.url) | _tls(write) | _headers(in_lower_case(headers))
    certificates = {CA_FILE: write.tls.ca_bundle} if write.tls.ca_bundle else {}
    return Writes([document], secret_files(headers), write.address, certificates)


def secret_files(headers: Mapping[str, SecretStr]) -> dict[str, str]:
    """Returns the headers of remote write in plain text, by their files' names in `SECRETS_FOLDER`."""
    files = {name: value.get_secret_value() for name, value in in_lower_case(headers).items()}
    login = login_of(files.get(_LOGIN_FILE, ""))
    if login is None:
        return files
    return files | {_LOGIN_FILE: login.secret} | ({_USER_FILE: login.user} if login.user else {})


def receiver(prometheus: str) -> Document:
    """Returns an entry of `remote_write` for the URL of a Prometheus."""
    return _receiver(f"{prometheus}/api/v1/write")


def _receiver(url: str) -> Document:
    # A trace's ID beside a value leads from a graph to the trace.
    return {"url": url, "send_exemplars": True}


def _tls(write: RemoteWrite) -> Document:
    tls: Document = {"ca_file": f"{CONFIG_FOLDER}/{CA_FILE}"} if write.tls.ca_bundle else {}
    if write.tls.server_name:
        tls["server_name"] = write.tls.server_name
    return {"tls_config": tls} if tls else {}


def _headers(headers: Mapping[str, SecretStr]) -> Document:
    """Returns the headers, which Tempo reads from files: Prometheus' client wants a login apart from them."""
    others = {name: {"files": [f"{SECRETS_FOLDER}/{name}"]} for name in headers if name != _LOGIN_FILE}
    document: Document = {"http_headers": others} if others else {}
    login = login_of(headers[_LOGIN_FILE].get_secret_value()) if _LOGIN_FILE in headers else None
    if login and login.user is not None:
        document["basic_auth"] = {
            "username_file": f"{SECRETS_FOLDER}/{_USER_FILE}",
            "password_file": f"{SECRETS_FOLDER}/{_LOGIN_FILE}",
        }
    elif login:
        document["authorization"] = {"type": login.scheme, "credentials_file": f"{SECRETS_FOLDER}/{_LOGIN_FILE}"}
    return document


def has_generator(settings: TempoSettings, receivers: Sequence[Document]) -> bool:
    """Tells whether Tempo runs its metrics generator."""
    return bool(_processors(settings, receivers))


def generator(
    settings: TempoSettings, receivers: Sequence[Document], *, data: str, lateness: str, messages: Document
) -> Document:
    """Returns the metrics generator and its client, as keys of tempo.yaml; nothing if they have no reader.

    Args:
        settings: what can be configured.
        receivers: the entries of `remote_write`.
        data: the folder that Tempo writes to.
        lateness: the greatest age of a span that counts.
        messages: the limits of gRPC messages between Tempo's parts.
    """
    if not has_generator(settings, receivers):
        return {}
    keeps_spans = _keeps_spans(settings)
    counted = {"span_multiplier_key": RATIO}
    document: Document = {
        # With the default of a minute, an end would take longer than the pod's grace period while the receiver is away.
        "storage": {"path": f"{data}/generator/wal", "remote_write_flush_deadline": "5s"},
        # The default of 30 s leaves out spans that waited while Tempo was away.
        "metrics_ingestion_time_range_slack": lateness,
        "processor": {},
    }
    if keeps_spans:
        document["traces_storage"] = {
            "path": f"{data}/generator/traces",
            # As of the other write-ahead log: late spans are found at their own time.
            "ingestion_time_range_slack": lateness,
        }
        document["processor"]["local_blocks"] = {
            # Also CLIENT spans and those inside a service. By default it keeps the others alone.
            "filter_server_spans": False,
            # For as long as traces are kept. By default for an hour.
            "flush_to_storage": True,
            # As fresh as a search is, and no more is lost with a killed pod than of the traces.
            "trace_idle_period": settings.flush.trace_idle_period,
            "flush_check_period": settings.flush.check_period,
            **({"complete_block_timeout": f"{2 * border}s"} if (border := _border(settings)) else {}),
        }
    if receivers:
        document["storage"]["remote_write"] = list(receivers)
        document["processor"] |= {
            "span_metrics": {**counted, "dimensions": ["http.route"]},
            "service_graphs": {**counted, "max_items": EDGES, "peer_attributes": _PEERS},
        }
    client = {} if settings.release.has_live_store else {"metrics_generator_client": _client(messages)}
    return {**client, "metrics_generator": document}


def frontend(settings: TempoSettings) -> Document:
    """Returns the keys of `query_frontend.metrics` of Tempo 2: from which age on it asks the blocks in the storage."""
    border = _border(settings)
    return {"query_backend_after": f"{border}s"} if border and _keeps_spans(settings) else {}


def _border(settings: TempoSettings) -> int | None:
    """Returns the age in seconds from which the blocks in the storage answer; None if Tempo's default will do.

    By then a block must be closed, written, and seen by a poll. The generator answers until then, from its own copy.
    """
    needed = math.ceil(_BLOCK_SECONDS + 2 * seconds(settings.flush.blocklist_poll))
    return needed if needed > _DEFAULT_BORDER else None


def _client(messages: Document) -> Document:
    return {"grpc_client_config": dict(messages), "remote_timeout": "30s"}


def overrides(settings: TempoSettings, receivers: Sequence[Document]) -> Document:
    """Returns the keys of `overrides.defaults` that switch the processors on."""
    processors = _processors(settings, receivers)
    if not processors:
        return {}
    return {"metrics_generator": {"processors": processors, **({"max_active_series": SERIES} if receivers else {})}}


def _processors(settings: TempoSettings, receivers: Sequence[Document]) -> list[str]:
    written = ["span-metrics", "service-graphs"] if receivers else []
    return [*(["local-blocks"] if _keeps_spans(settings) else []), *written]


def _keeps_spans(settings: TempoSettings) -> bool:
    """Tells whether the generator keeps spans for metrics by TraceQL. Tempo 3's live store has them itself."""
    return settings.traceql_metrics and not settings.release.has_live_store
