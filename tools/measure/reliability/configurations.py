"""Random configurations: what the program takes of them, the programs that it writes documents for must read.

Configurations are made of those of the golden cases, with values of every kind changed and with random snippets of
NGINX. The same seed makes the same ones.
"""

import copy
import itertools
import os
import random
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

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
from components.documents.nginx import (
    CA_FILE,
    EXPORTER_FILE,
    LICENSE_FILE,
    LICENSE_FOLDER,
    REPORT_CA_FILE,
    STATE_FOLDER,
    UPSTREAMS_FILE,
    UPSTREAMS_FOLDER,
    exporter_conf,
    nginx_conf,
    upstream_files,
    upstream_keys,
    upstreams_conf,
)
from components.documents.nginx import FOLDER as NGINX_FOLDER
from components.documents.tempo import tempo_document
from lab.build.targets import COLLECTOR, NGINX, NGINX_PLUS, TEMPO
from lab.paths import REPOSITORY
from settings import Settings
from settings.limits import exports, sized
from settings.reference import keys
from settings.rules import violations_of
from settings.snippets.reader import reader_of
from tools.measure.reliability.figures import Figure
from tools.measure.reliability.snippets import random_nginx

LAB_TEMPO = yaml.safe_load((REPOSITORY / "lab" / "Pulumi.lab.yaml").read_text())["config"]["nginx-tracing:tempo"][
    "image"
]
NAMESPACE = "tracing"
BACKEND = "tempo.tracing.svc:4317"

CANNOT_BE_KNOWN = ("host not found", "SSL_", "cannot load", "could not build")
"""What NGINX says of names that it looks up, of what OpenSSL knows, and of tables that a line of the cache limits."""

OF_THE_IMAGE = ("unknown directive", 'unknown "', "open()")
"""What NGINX says of directives and variables of modules, and of files."""

_VALUES: dict[str, list[Any]] = {
    "true or false": [True, False],
    "duration": ["100ms", "1s", "5s", "1m", "24h", "720h"],
    "bytes": ["16Mi", "64Mi", "512Mi", "2Gi", "20Gi"],
    "cores": ["50m", "0.5", "2"],
    "integer": [1, 2, 10, 50, 100, 512, 2048, 100000],
    "number from 0 to 1": ["0", "0.001", "0.25", "1"],
    "text": ["shop", 'every "thing"; {so} it $is', "schön # wirklich", "back\\slash", "a 'b'"],
}
"""Few of each kind, so that many configurations have a document in common, which is read once."""


def random_configurations(seed: int) -> Iterator[dict[str, Any]]:
    """Configurations for ever, of which many have errors."""
    chance = random.Random(seed)  # noqa: S311 - the same each time is what it is for
    cases = [
        yaml.safe_load(file.read_text()) for file in sorted((REPOSITORY / "tests" / "golden").glob("*/config.yaml"))
    ]
    while True:
        made: dict[str, Any] = copy.deepcopy(chance.choice(cases))
        for group in ("nginx", "collector", "tempo"):
            if chance.random() < 0.4:
                made[group] = copy.deepcopy(chance.choice(cases).get(group, {}))
        for _ in range(chance.randint(0, 4)):
            _change(chance, made)
        if chance.random() < 0.6:
            snippets = random_nginx(chance)
            text = yaml.safe_dump(snippets).replace("UPSTREAM", "127.0.0.1:19999")
            made["nginx"] = made.get("nginx", {}) | yaml.safe_load(text)
        yield made


def _change(chance: random.Random, made: dict[str, Any]) -> None:
    """Sets a random key that is not of a list or map to a value of its kind, or takes a random one away."""
    path, values = chance.choice(_changeable())
    around = made
    *groups, name = path
    for group in groups:
        inner = around.setdefault(group, {})
        if not isinstance(inner, dict):
            return
        around = cast("dict[str, Any]", inner)
    if name in around and chance.random() < 0.3:
        del around[name]
    else:
        around[name] = chance.choice(values)


@cache
def _changeable() -> list[tuple[list[str], list[Any]]]:
    found: list[tuple[list[str], list[Any]]] = []
    for key in keys():
        words = re.findall(r"`([^`]+)`", key.kind)
        values = words if words and key.kind.startswith("`") else _VALUES.get(key.kind)
        if values and "[]" not in key.path and "<name>" not in key.path:
            found.append((key.path.split("."), values))
    return found


def accepted(configuration: dict[str, Any]) -> Settings | None:
    """The settings of a configuration; none where it is refused."""
    try:
        settings = Settings.model_validate(configuration)
    except ValueError:
        return None
    is_refused = any(True for _ in violations_of(settings, lambda _: True, lambda _: False))
    return None if is_refused else sized(settings)


@dataclass(frozen=True)
class Document:
    """What one program reads."""

    program: str
    files: tuple[tuple[str, str], ...]
    """The main one first."""

    is_plus: bool = False
    is_known: bool = True
    """Whether the program knows the image that reads it: what others have of files and modules cannot be known."""

    def complaint(self) -> str:
        """What its program says of it; nothing, if it is well."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file, text in self.files:
                (folder / file).write_text(text.replace("FOLDER", name))
            return _READERS[self.program](self, folder)


def documents(settings: Settings) -> Iterator[Document]:
    """The documents of a configuration."""
    yield _nginx(settings)
    if settings.collector.enabled:
        document = collector_document(
            settings.collector,
            backend=BACKEND if settings.tempo.enabled else None,
            namespace=NAMESPACE,
            exports=exports(settings),
        )
        text = _moved(dump(document), dict.fromkeys((SECRETS_FOLDER, COLLECTOR_FOLDER, QUEUE_FOLDER), "FOLDER"))
        others = certificate_files(settings.collector.exporters) | secret_files(settings.collector.exporters)
        yield Document("collector", (("config.yaml", text), *others.items()))
    if settings.tempo.enabled:
        # For the Tempo that reads it, whatever image the configuration names: versions differ in a key's name.
        tempo = settings.tempo.model_copy(update={"image": LAB_TEMPO})
        yield Document("tempo", (("tempo.yaml", dump(tempo_document(tempo))),))


def _nginx(settings: Settings) -> Document:
    nginx, is_plus = settings.nginx, settings.edition == "plus"
    endpoint = nginx.exporter.endpoint or "otel-collector.tracing.svc:4317"
    plus = settings.plus if is_plus else None
    places = {f"{NGINX_FOLDER}/{file}": f"FOLDER/{file}" for file in (EXPORTER_FILE, CA_FILE, REPORT_CA_FILE)}
    places |= {f"{NGINX_FOLDER}/mime.types": f"{NGINX.folder}/mime.types"}
    places |= {LICENSE_FOLDER: "FOLDER", STATE_FOLDER: "FOLDER", "modules/ngx_otel": f"{NGINX.folder}/ngx_otel"}
    # As a pod fills them in when it starts.
    places |= {UPSTREAMS_FOLDER: "FOLDER", "NAMESERVERS": "127.0.0.1", "CLUSTER_DOMAIN": "cluster.local"}
    places |= {f"{NGINX_FOLDER}/upstream-": "FOLDER/upstream-"}
    places |= {"fastcgi_params": "FOLDER/fastcgi_params", "/tmp/": "FOLDER/"}  # noqa: S108 - the pod's
    files = {
        "nginx.conf": nginx_conf(nginx, exporter=endpoint, namespace=NAMESPACE, plus=plus),
        EXPORTER_FILE: exporter_conf(nginx.exporter, endpoint=endpoint),
        CA_FILE: nginx.exporter.ca_bundle or "",
        REPORT_CA_FILE: (plus.usage_report.ca_bundle if plus else None) or "",
        LICENSE_FILE: settings.nginx_license_jwt.get_secret_value() if settings.nginx_license_jwt else "",
        UPSTREAMS_FILE: upstreams_conf(nginx, NAMESPACE),
        "fastcgi_params": "",
        **upstream_files(nginx),
        **upstream_keys(nginx),
    }
    moved = {name: _moved(text, places) for name, text in files.items()}
    # Files that a pod writes for itself when it starts are empty here: the names in them have addresses below.
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


def _nginx_says(document: Document, folder: Path) -> str:
    names = re.findall(r"(?:\bserver |://|resolver )([\w.-]+)", dict(document.files)["nginx.conf"])
    hosts = folder / "hosts"
    hosts.write_text("".join(f"192.0.2.1 {name}\n" for name in dict.fromkeys(names)))
    build = NGINX_PLUS.folder if document.is_plus else NGINX.folder
    test = f"{build}/nginx -t -q -e stderr -g 'user root;' -p {folder} -c {folder}/nginx.conf"
    # The names of upstreams, which NGINX looks up when it starts, have addresses for this one process.
    code, said = _run("unshare", "--mount", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec {test}")
    fault = next((line for line in said.splitlines() if "[emerg]" in line), said)
    unknowable = CANNOT_BE_KNOWN if document.is_known else (*CANNOT_BE_KNOWN, *OF_THE_IMAGE)
    return "" if code == 0 or any(reason in fault for reason in unknowable) else fault


def _collector_says(_: Document, folder: Path) -> str:
    # Its own account of the cluster, which only a pod has.
    environment = {"KUBERNETES_SERVICE_HOST": "192.0.2.1", "KUBERNETES_SERVICE_PORT": "443", "GOMEMLIMIT": "400MiB"}
    code, said = _run(
        COLLECTOR.folder / "otelcol", "validate", f"--config={folder}/config.yaml", environment=environment
    )
    return said if code else ""


def _tempo_says(_: Document, folder: Path) -> str:
    code, said = _run(TEMPO.folder / "tempo", f"-config.file={folder}/tempo.yaml", "-config.verify=true")
    return said if code or "level=warn" in said else ""


_READERS = {"nginx": _nginx_says, "collector": _collector_says, "tempo": _tempo_says}


@dataclass(frozen=True)
class Outcome:
    """What came of many configurations."""

    tried: int
    taken: int
    read: dict[str, int]
    """Different documents, by the program that read them."""

    complaints: list[str]


def check(count: int, seed: int) -> Outcome:
    """Tries as many configurations.

    Args:
        count: how many.
        seed: which ones.
    """
    different: dict[Document, None] = {}
    taken = 0
    for configuration in itertools.islice(random_configurations(seed), count):
        settings = accepted(configuration)
        if settings:
            taken += 1
            different |= dict.fromkeys(documents(settings))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(Document.complaint, different))
    complaints = [
        f"{document.program}: {complaint.strip()}\n{document.files[0][1]}"
        for document, complaint in zip(different, said, strict=True)
        if complaint
    ]
    return Outcome(count, taken, dict(Counter(document.program for document in different)), complaints)


def figure(count: int, seed: int = 17) -> Figure:
    """The figure of `make reliability`."""
    outcome = check(count, seed)
    read = ", ".join(f"{number} of {program}" for program, number in outcome.read.items())
    return Figure(
        f"{count} random configurations",
        "accepted ones are read without a refusal",
        f"{outcome.taken} accepted, {len(outcome.complaints)} documents refused (different ones: {read})",
        met=not outcome.complaints,
        details={"accepted": outcome.taken, "refused": len(outcome.complaints), **outcome.read},
    )
