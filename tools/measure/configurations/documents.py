"""Writes the documents of a configuration, and has their own programs read them."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.documents import dump
from components.documents.collector import FOLDER as COLLECTOR_FOLDER
from components.documents.collector import (
    QUEUE_FOLDER,
    SECRETS_FOLDER,
    certificate_files,
    collector_document,
    secret_files,
)
from components.documents.collector_tiers import first_tier_document, second_tier_document
from components.documents.nginx import (
    CA_FILE,
    EXPORTER_FILE,
    LICENSE_FILE,
    LICENSE_FOLDER,
    REPORT_CA_FILE,
    STATE_FOLDER,
    exporter_conf,
    nginx_conf,
)
from components.documents.nginx_upstreams import FOLDER as NGINX_FOLDER
from components.documents.nginx_upstreams import (
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    upstream_files,
    upstream_keys,
    upstreams_conf,
)
from components.documents.prometheus import ALERTS_FILE, CONFIG_FILE, alerts, prometheus_document
from components.documents.prometheus import FOLDER as PROMETHEUS_FOLDER
from components.documents.tempo import tempo_document
from components.documents.tempo_metrics import has_generator, receiver, writes
from components.documents.tempo_parts import POD_ADDRESS, arguments, parts_document
from lab.build.images import REGISTRY_ADDRESS, collector_name
from lab.build.targets import COLLECTORS, NEXT_COLLECTOR, NGINX, NGINX_PLUS, PROMTOOL, TEMPO
from lab.paths import REPOSITORY
from lab.stack import STACK_FILES
from settings import CollectorSettings, Settings
from settings.collector_tiers import first_tier
from settings.limits import exports
from settings.nginx_directives import directives
from settings.sampling import kept
from settings.snippets.reader import reader_of

_STACKS = {name: yaml.safe_load((REPOSITORY / file).read_text())["config"] for name, file in STACK_FILES.items()}
LAB_TEMPO = _STACKS["current"]["nginx-tracing:tempo"]["image"]
LAB_COLLECTORS = {stack["nginx-tracing:collector"]["image"]: COLLECTORS[name] for name, stack in _STACKS.items()}
"""The lab's builds of the Collector, by their images, whose tags tell the version."""

NEXT_IMAGE = f"{REGISTRY_ADDRESS}/{collector_name(NEXT_COLLECTOR)}"
COLLECTOR_BUILDS = LAB_COLLECTORS | {NEXT_IMAGE: NEXT_COLLECTOR}
"""The same, and the one that deep tests alone build."""

NAMESPACE = "tracing"
BACKEND = "tempo.tracing.svc:4317"
DECIDERS = "otel-collector-decider.tracing.svc"
OWN_PROMETHEUS = "http://prometheus.tracing.svc:9090"

CANNOT_BE_KNOWN = ("host not found", "SSL_", "cannot load", "could not build")
"""NGINX's errors about names that it looks up, about OpenSSL's knowledge, and about tables that a cache line limits."""

OF_THE_IMAGE = ("unknown directive", 'unknown "', "open()")
"""NGINX's errors about directives and variables of modules, and about files."""

LATER = tuple(f'unknown directive "{name}"' for name, known in directives().items() if known.origin == "later")
"""The lab's NGINX 1.28 refuses the directives that the default image's NGINX has."""

OF_PLUS = ('invalid parameter "slow_start=', 'invalid parameter "route=', 'invalid parameter "service=', '"drain"')
"""The stand-in for NGINX Plus is the open-source NGINX, which refuses the parameters that Plus adds to `server`."""


@dataclass(frozen=True)
class Document:
    """The files that one program reads."""

    program: str
    files: tuple[tuple[str, str], ...]
    """Names and texts, the main file first."""

    is_plus: bool = False
    is_known: bool = True
    """Whether this program knows the image that reads it. Files and modules of other images cannot be known."""

    part: str = ""
    """The part of Tempo that reads it; none for one process."""

    collector: str = ""
    """The Collector's image that it is for: one of `COLLECTOR_BUILDS`."""

    def error(self) -> str:
        """Has its program read it. Returns the error, or an empty text."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, text in self.files:
                (folder / file).write_text(text.replace("FOLDER", name))
            return _READERS[self.program](self, folder)


def documents(settings: Settings) -> Iterator[Document]:
    """Writes the documents of a configuration."""
    yield _nginx(settings)
    # The other documents are for the lab's images, whatever the configuration names: versions differ in names of keys.
    if settings.collector.enabled:
        yield from (file for image in LAB_COLLECTORS for file in collector_files(settings, image))
    if settings.tempo.enabled:
        tempo = settings.tempo.model_copy(update={"image": LAB_TEMPO})
        written = writes(settings.metrics, settings.metrics_headers)
        receivers = [*written.receivers, *([receiver(OWN_PROMETHEUS)] if settings.prometheus.enabled else [])]
        if tempo.is_distributed:
            document = parts_document(
                tempo, receivers, cluster="bench", ring="tempo-ring:7946", query_frontend="queries:9095"
            )
            for part in tempo.parts(makes_metrics=has_generator(tempo, receivers)):
                yield Document("tempo", (("tempo.yaml", dump(document)),), part=part)
        else:
            yield Document("tempo", (("tempo.yaml", dump(tempo_document(tempo, receivers))),))
    if settings.prometheus.enabled:
        text = dump(prometheus_document(settings.prometheus, NAMESPACE)).replace(PROMETHEUS_FOLDER, "FOLDER")
        yield Document("prometheus", ((CONFIG_FILE, text), (ALERTS_FILE, alerts())))


def collector_files(settings: Settings, image: str) -> list[Document]:
    """Writes the Collector's document for one of `COLLECTOR_BUILDS`, or the documents of its two tiers."""
    collector = settings.collector.model_copy(update={"image": image})
    make = second_tier_document if collector.has_tiers else collector_document
    backend = BACKEND if settings.tempo.enabled else None
    files = [_collector(collector, make(collector, backend=backend, namespace=NAMESPACE, exports=exports(settings)))]
    if collector.has_tiers:
        first = first_tier_document(collector, deciders=DECIDERS, namespace=NAMESPACE)
        files.append(_collector(first_tier(collector), first))
    return files


def _collector(collector: CollectorSettings, document: dict[str, Any]) -> Document:
    text = _moved(dump(document), dict.fromkeys((SECRETS_FOLDER, COLLECTOR_FOLDER, QUEUE_FOLDER), "FOLDER"))
    others = certificate_files(collector.exporters) | secret_files(collector.exporters)
    return Document("collector", (("config.yaml", text), *others.items()), collector=collector.pulled_image)


def _nginx(settings: Settings) -> Document:
    nginx, is_plus = settings.nginx, settings.edition == "plus"
    endpoint = nginx.exporter.endpoint or "otel-collector.tracing.svc:4317"
    plus = settings.plus if is_plus else None
    places = {f"{NGINX_FOLDER}/{file}": f"FOLDER/{file}" for file in (EXPORTER_FILE, CA_FILE, REPORT_CA_FILE)}
    places |= {f"{NGINX_FOLDER}/mime.types": f"{NGINX.folder}/mime.types"}
    places |= {LICENSE_FOLDER: "FOLDER", STATE_FOLDER: "FOLDER", "modules/ngx_otel": f"{NGINX.folder}/ngx_otel"}
    # A pod fills these in when it starts.
    places |= {UPSTREAMS_FOLDER: "FOLDER", "NAMESERVERS": "127.0.0.1", "CLUSTER_DOMAIN": "cluster.local"}
    places |= {f"{NGINX_FOLDER}/upstream-": "FOLDER/upstream-"}
    places |= {"fastcgi_params": "FOLDER/fastcgi_params", "/tmp/": "FOLDER/"}  # noqa: S108 - the pod's
    files = {
        "nginx.conf": nginx_conf(
            nginx, exporter=endpoint, namespace=NAMESPACE, plus=plus, kept=kept(settings.collector)
        ),
        EXPORTER_FILE: exporter_conf(nginx.exporter, endpoint=endpoint),
        CA_FILE: nginx.exporter.ca_bundle or "",
        REPORT_CA_FILE: (plus.usage_report.ca_bundle if plus else None) or "",
        LICENSE_FILE: settings.nginx_license_jwt.get_secret_value() if settings.nginx_license_jwt else "",
        UPSTREAMS_FILE: upstreams_conf(nginx, NAMESPACE, plus),
        "fastcgi_params": "",
        **upstream_files(nginx),
        **upstream_keys(nginx),
    }
    moved = {name: _moved(text, places) for name, text in files.items()}
    # Files that a pod writes when it starts are empty here. The names in them have addresses in the file of hosts.
    moved["nginx.conf"] = re.sub(r"include /etc/nginx/[^;]+;", "include FOLDER/fastcgi_params;", moved["nginx.conf"])
    return Document("nginx", tuple(moved.items()), is_plus, reader_of(settings).is_known)


def _moved(text: str, places: dict[str, str]) -> str:
    return re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], text)


def _run(*command: str | Path, environment: dict[str, str] | None = None) -> tuple[int, str]:
    ran = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
    )
    return ran.returncode, ran.stderr


def _nginx_error(document: Document, folder: Path) -> str:
    names = re.findall(r"(?:\bserver |://|resolver )([\w.-]+)", dict(document.files)["nginx.conf"])
    hosts = folder / "hosts"
    hosts.write_text("".join(f"192.0.2.1 {name}\n" for name in dict.fromkeys(names)))
    build = NGINX_PLUS.folder if document.is_plus else NGINX.folder
    test = f"{build}/nginx -t -q -e stderr -g 'user root;' -p {folder} -c {folder}/nginx.conf"
    # NGINX looks up the names of upstreams when it starts. They have addresses for this one process.
    code, output = _run("unshare", "--mount", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec {test}")
    error = next((line for line in output.splitlines() if "[emerg]" in line), output)
    unknowable = (
        *CANNOT_BE_KNOWN,
        *(() if document.is_known else OF_THE_IMAGE),
        *LATER,
        *(OF_PLUS if document.is_plus else ()),
    )
    return "" if code == 0 or any(reason in error for reason in unknowable) else error


def _collector_error(document: Document, folder: Path) -> str:
    # Only a pod knows its cluster by these variables.
    environment = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443", "GOMEMLIMIT": "400MiB"}
    build = COLLECTOR_BUILDS[document.collector]
    code, output = _run(
        build.folder / build.name, "validate", f"--config={folder}/config.yaml", environment=environment
    )
    return output if code else ""


def _tempo_error(document: Document, folder: Path) -> str:
    part = arguments(document.part) if document.part else []
    command = [f"-config.file={folder}/tempo.yaml", "-config.verify=true", *part]
    code, output = _run(TEMPO.folder / "tempo", *command, environment={POD_ADDRESS: "192.0.2.20"})
    return output if code or "level=warn" in output else ""


def _prometheus_error(_: Document, folder: Path) -> str:
    code, output = _run(PROMTOOL.folder / "promtool", "check", "config", folder / CONFIG_FILE)
    return output if code else ""


_READERS = {
    "nginx": _nginx_error,
    "collector": _collector_error,
    "tempo": _tempo_error,
    "prometheus": _prometheus_error,
}
