"""Writes the page of versions in the docs: the sets, and what each version of a program is."""

from collections.abc import Iterable, Iterator, Sequence

from settings.versions import SETS, Support, grafana, kubernetes, nginx, plus, prometheus, tags, tempo
from settings.versions.collector import CollectorRelease
from settings.versions.nginx import Module
from settings.versions.support import Version, dotted

_CHANGES: Sequence[Version] = [(0, minor) for minor in (126, 129, 130, 138, 141, 144, 146, 149, 155, 159, 171, 177)]
"""The versions of the Collector that change a feature of the table, and the first."""


def versions_table() -> str:
    """Returns the page's tables as Markdown."""
    programs = (_nginx(), _flaws(), _plus(), _collector(), _tempo(), _prometheus(), _grafana())
    parts = (_sets(), *programs, _kubernetes())
    return "\n".join("\n".join(part) + "\n" for part in parts)


def _table(title: str, about: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield from (f"## {title}", "", *([about, ""] if about else []))
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"


def _sets() -> Iterator[str]:
    rows = [
        (f"`{name}`", dotted(one.nginx), one.plus, *map(dotted, (one.collector, one.tempo, one.prometheus)))
        for name, one in SETS.items()
    ]
    about = "`pulumi config set versions tutorial` takes another set than `current`; an image that is named wins."
    yield from _table("Sets", about, ("`versions`", "NGINX", "NGINX Plus", "Collector", "Tempo", "Prometheus"), rows)


def _nginx() -> Iterator[str]:
    about = (
        "The module is that of the official image with the tag `<version>-otel`. From "
        f"{dotted(nginx.KEEPS_UPSTREAMS)} on NGINX keeps connections to upstreams, and speaks HTTP/1.1 with them, by "
        "default; the program's routes say both themselves. From "
        f"{dotted(nginx.FOLLOWS_NAMES)} on it follows the names of upstreams."
    )
    rows = [(dotted(line), *_until(support)) for line, support in nginx.TABLE.items()]
    yield from _table("NGINX", about, ("version", "security fixes until", "source"), rows)
    yield ""
    yield "| image from | `header` | `otel_resource_attr` | TLS |"
    yield "|---|---|---|---|"
    for version, module in nginx.MODULES.items():
        yield f"| `{nginx.image_of(version)}` | {' | '.join(_features(module))} |"


def _features(module: Module) -> Iterator[str]:
    return (_yes(has) for has in (module.headers, module.resource_attributes, module.tls))


def _flaws() -> Iterator[str]:
    rows = [
        (flaw.cve, flaw.place, dotted(flaw.first), ", ".join(map(dotted, sorted(flaw.fixed))), flaw.source)
        for flaw in nginx.FLAWS
    ]
    about = (
        "Flaws by which a request may execute code, in NGINX and NGINX Plus. Which configurations have them differs: "
        "the advisory of each tells. No such flaw of the Collector or of Tempo is known to this version."
    )
    yield from _table("Known flaws", about, ("CVE", "where", "from", "fixed in", "source"), rows)


def _plus() -> Iterator[str]:
    rows = [
        (
            f"R{number}",
            dotted(release.nginx) if release.nginx else "",
            *_until(release.support),
            _yes(release.module == nginx.WHOLE_MODULE),
            _yes(release.report_proxy),
            ", ".join(flaw.cve for flaw in release.flaws),
        )
        for number, release in plus.TABLE.items()
    ]
    about = (
        f"From R{tags.FIRST_WITH_MINOR} on releases have two numbers: R37.0 is one with long-term support, and its "
        "folder of packages gets the fixes. Flaws are those that no update of the release fixes."
    )
    head = ("release", "NGINX", "security fixes until", "source", "whole module", "`proxy` in `mgmt`", "flaws")
    yield from _table("NGINX Plus", about, head, rows)


def _collector() -> Iterator[str]:
    def row(version: Version) -> Sequence[str]:
        release = CollectorRelease(version)
        return (
            f"{dotted(version)} on",
            f"`{release.grpc_exporter}`, `{release.http_exporter}`, `{release.load_balancing}`",
            f"`{release.kubernetes_attributes}`",
            _yes(release.decides_at_its_end),
            f"`{release.blocks_on_full_queue}`",
            _yes(release.sizes_persistent_queue),
            _yes(release.batches_persistent_queue),
            "by default" if release.batches_by_default else _yes(has=False),
            _yes(release.has_batch_processor),
            f"`{release.memory_limiter_counters}*`",
            _yes(release.labels_counters_with_service),
            _yes(release.counts_enqueued_sizes),
        )

    about = (
        "From the Collector's change logs; 0.171 and 0.177 as they are announced. The project fixes the newest release "
        "alone, every two weeks. The program warns of one that is older than half a year: 0.126.0 since "
        f"{CollectorRelease((0, 126)).support.until}. The last two columns are the Collector's own: this program's "
        "document has neither these labels nor these counters, which `level: detailed` shows alone."
    )
    head = (
        "version",
        "exporters",
        "attributes of pods",
        "tail sampling decides at its end",
        "a full queue waits by",
        "persistent queue in bytes",
        "batches behind it",
        "exporters batch",
        "processor `batch`",
        "memory limiter counts",
        "`service_*` labels by default",
        "`otelcol_exporter_enqueue_size*`",
    )
    yield from _table("Collector", about, head, map(row, _CHANGES))


def _tempo() -> Iterator[str]:
    rows = [
        (
            dotted(line),
            *_until(release.support),
            f"`{release.attribute_limit}`",
            "`live_store`, `backend_scheduler`, `backend_worker`"
            if release.has_live_store
            else "`ingester`, `compactor`",
        )
        for line, release in tempo.TABLE.items()
    ]
    about = (
        "The lab runs a build of a commit between 2.7 and 2.8: the document for Tempo 3 was not run there. Nothing "
        "leads back from Tempo 3: Tempo 2 does not read what it has written. What over-limit spans are counted by "
        "stays: `tempo_discarded_spans_total`."
    )
    head = ("version", "security fixes until", "source", "length of attributes", "parts")
    yield from _table("Tempo", about, head, rows)


def _prometheus() -> Iterator[str]:
    rows = [(dotted(line), *_until(support)) for line, support in prometheus.TABLE.items()]
    about = "A line without long-term support gets fixes until the next one comes. The lab runs 3.16.0."
    yield from _table("Prometheus", about, ("version", "fixes until", "source"), rows)


def _grafana() -> Iterator[str]:
    rows = [(dotted(line), *_until(support)) for line, support in grafana.TABLE.items()]
    about = f"Not run on the lab. The default of both sets is {dotted(grafana.DEFAULT)}: the tutorial had no Grafana."
    yield from _table("Grafana", about, ("version", "security fixes until", "source"), rows)


def _kubernetes() -> Iterator[str]:
    rows = [(dotted(line), *_until(support)) for line, support in kubernetes.TABLE.items()]
    about = (
        "A preview and `pulumi up` read the API server's version, and warn of one whose day has passed, or that is not "
        "in the table. The lab runs 1.32 and 1.36; the others were not run."
    )
    yield from _table("Kubernetes", about, ("version", "maintained until", "source"), rows)


def _until(support: Support) -> tuple[str, str]:
    return (str(support.until) if support.until else "no end is announced", support.source)


def _yes(has: bool) -> str:
    return "yes" if has else "no"
