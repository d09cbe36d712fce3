"""Has the deployed programs read the documents of the golden files.

NGINX here is the lab's: the real NGINX 1.28.3 with the lab's stand-ins for the official module, and for what NGINX
Plus adds.
"""

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.documents.nginx import (
    CA_FILE,
    EXPORTER_FILE,
    LICENSE_FILE,
    LICENSE_FOLDER,
    REPORT_CA_FILE,
    STATE_FOLDER,
    exporter_conf,
)
from components.documents.nginx_upstreams import FOLDER as NGINX_FOLDER
from components.documents.nginx_upstreams import UPSTREAMS_FILE, UPSTREAMS_FOLDER, upstream_keys
from components.documents.prometheus import CONFIG_FILE
from components.documents.prometheus import FOLDER as PROMETHEUS_FOLDER
from components.documents.tempo_parts import POD_ADDRESS
from lab.build.targets import CROSSPLANE, NGINX, NGINX_PLUS, PROMTOOL, TEMPO
from settings import Settings
from settings.demo import DEMO_SERVICES
from settings.versions import SETS, tempo_release
from tests import golden
from tests.module.upstream import resolved
from tools.measure.configurations.documents import LAB_TEMPO, NEXT_IMAGE, collector_files

CASES = golden.cases()


pytestmark = pytest.mark.usefixtures("programs")


def documents(case: str, component: str) -> dict[str, str]:
    """Returns the golden documents of a component's config object; none where the case has no such component."""
    config_map = golden.objects(case).get(f"ConfigMap-{component}-config.yaml")
    return config_map["data"] if config_map else {}


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, **options)


def nginx_says(documents: dict[str, str], settings: Settings, folder: Path) -> str:
    """Returns the errors of `nginx -t` about a configuration in its own folder: nothing if it is valid.

    `localhost` is the one name that it looks up at once.
    """
    files = dict(documents) | upstream_keys(settings.nginx)
    if UPSTREAMS_FILE in files:
        files[UPSTREAMS_FILE] = resolved(folder, files[UPSTREAMS_FILE], RESOLV_CONF)
    exporter = settings.nginx.exporter
    if exporter.headers:
        files[EXPORTER_FILE] = exporter_conf(exporter, endpoint=str(exporter.endpoint))
    places = {
        f"{NGINX_FOLDER}/{file}": str(folder / file) for file in ("mime.types", EXPORTER_FILE, CA_FILE, REPORT_CA_FILE)
    }
    places |= {LICENSE_FOLDER: str(folder), STATE_FOLDER: str(folder), f"{UPSTREAMS_FOLDER}/": f"{folder}/"}
    places |= {f"{NGINX_FOLDER}/{file}": str(folder / file) for file in files if file.startswith("upstream-")}
    places |= {"load_module modules/": f"load_module {NGINX.folder}/", "pid /tmp/": f"pid {folder}/"}
    if settings.nginx_license_jwt:
        files[LICENSE_FILE] = settings.nginx_license_jwt.get_secret_value()
    for name, text in files.items():
        (folder / name).write_text(moved(text, places))
    (folder / "mime.types").write_bytes((NGINX.folder / "mime.types").read_bytes())
    build_of_nginx = NGINX_PLUS if settings.edition == "plus" else NGINX
    flags = ("-t", "-q", "-e", "stderr", "-g", "user root;", "-c", folder / "nginx.conf")
    tested = run(build_of_nginx.folder / "nginx", *flags)
    return tested.stderr if tested.returncode else ""


def moved(text: str, places: dict[str, str]) -> str:
    """Replaces the paths of files in a document."""
    for old, new in places.items():
        text = text.replace(old, new)
    return text


RESOLV_CONF = "search tracing.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n"
"""A pod's /etc/resolv.conf as kubelets write it."""


@pytest.mark.parametrize("case", CASES)
def test_nginx_reads_nginx_conf(case: str, tmp_path: Path) -> None:
    assert nginx_says(documents(case, "nginx"), golden.settings_of(case), tmp_path) == ""


@pytest.mark.parametrize(
    ("case", "release"),
    [
        (case, release)
        for case in CASES
        for release in ("oss", "plus")
        # NGINX, open source, does not read what is written for NGINX Plus.
        if release == "plus" or golden.settings_of(case).edition == "oss"
    ],
)
def test_f5_s_tables_of_directives_know_nginx_conf(case: str, release: str, tmp_path: Path) -> None:
    files = documents(case, "nginx")
    settings = golden.settings_of(case)
    exporter = settings.nginx.exporter
    conf = tmp_path / "nginx.conf"
    (tmp_path / "exporter.conf").write_text(exporter_conf(exporter, endpoint=exporter.endpoint or "collector:4317"))
    (tmp_path / "mime.types").write_bytes((NGINX.folder / "mime.types").read_bytes())
    if UPSTREAMS_FILE in files:
        (tmp_path / UPSTREAMS_FILE).write_text(resolved(tmp_path, files[UPSTREAMS_FILE], RESOLV_CONF))
    text = files["nginx.conf"].replace(f"include {UPSTREAMS_FOLDER}/", f"include {tmp_path}/")
    conf.write_text(text.replace(f"include {NGINX_FOLDER}/", f"include {tmp_path}/"))
    checked = run(CROSSPLANE.folder / "crossplane", release, conf)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("service", DEMO_SERVICES)
def test_nginx_and_f5_s_tables_take_the_documents_of_the_demo(service: str, tmp_path: Path) -> None:
    assert nginx_says(documents("demo", service), golden.settings_of("demo"), tmp_path) == ""
    checked = run(CROSSPLANE.folder / "crossplane", "oss", tmp_path / "nginx.conf")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "wrong", ["otel_trace on off;", "server { otel_exporter { endpoint a:1; } }", "otel_tracing on;"]
)
def test_f5_s_tables_refuse_what_is_wrong(wrong: str, tmp_path: Path) -> None:
    conf = tmp_path / "nginx.conf"
    conf.write_text(f"events {{}}\nhttp {{ {wrong} }}\n")
    assert run(CROSSPLANE.folder / "crossplane", "oss", conf).returncode == 1


@pytest.mark.parametrize("case", [case for case in CASES if documents(case, "otel-collector")])
def test_the_collector_reads_its_document(case: str, image: str) -> None:
    settings = golden.settings_of(case)
    files = collector_files(readable(settings) if image == NEXT_IMAGE else settings, image)
    assert [file.error() for file in files] == [""] * (1 + settings.collector.has_tiers)


@pytest.mark.deep
@pytest.mark.parametrize("version", ["0.171.0", "0.177.0"])
@pytest.mark.parametrize("case", [case for case in CASES if documents(case, "otel-collector")])
def test_the_newest_collector_of_the_lab_reads_the_documents_for_announced_versions(case: str, version: str) -> None:
    announced = f"{NEXT_IMAGE.rpartition(':')[0]}:{version}"
    for document in collector_files(readable(golden.settings_of(case)), announced):
        assert dataclasses.replace(document, collector=NEXT_IMAGE).error() == ""


def readable(settings: Settings) -> Settings:
    """Returns settings without the processor that the lab's build of the next Collector lacks."""
    collector = settings.collector.model_copy(update={"kubernetes_attributes": False})
    return settings.model_copy(update={"collector": collector})


def test_the_collector_refuses_what_is_wrong(image: str) -> None:
    (right,) = collector_files(Settings(), image)
    (name, text), *others = right.files
    wrong = dataclasses.replace(right, files=((name, text.replace("500ms", "5 apples")), *others))
    assert "time: unknown unit" in wrong.error()


@pytest.mark.parametrize(
    "case",
    # The lab's Tempo refuses the document for Tempo 3.
    [case for case in CASES if documents(case, "tempo") and not golden.settings_of(case).tempo.release.is_one_way],
)
def test_tempo_reads_its_document(case: str, tmp_path: Path) -> None:
    # The lab's Tempo is a commit after 2.7, which the golden stacks have: it has renamed this key since.
    limit = tempo_release(LAB_TEMPO, SETS["tutorial"].tempo).attribute_limit
    renamed = documents(case, "tempo")["tempo.yaml"].replace("max_span_attr_byte", limit)
    (tmp_path / "tempo.yaml").write_text(renamed)
    for arguments in arguments_of_tempo(case):
        checked = run(
            TEMPO.folder / "tempo",
            f"-config.file={tmp_path}/tempo.yaml",
            "-config.verify=true",
            *arguments,
            env={POD_ADDRESS: "192.0.2.20"},
        )
        assert (checked.returncode, "level=warn" in checked.stderr) == (0, False), checked.stderr


def arguments_of_tempo(case: str) -> list[list[str]]:
    """Returns the arguments of each of a case's containers of Tempo, without the document's path."""
    workloads = [made for made in golden.objects(case).values() if made["kind"] in ("Deployment", "StatefulSet")]
    containers = [each for made in workloads for each in made["spec"]["template"]["spec"]["containers"]]
    found = [each["args"][1:] for each in containers if each["name"] == "tempo"]
    assert found
    return found


@pytest.mark.parametrize("case", [case for case in CASES if documents(case, "prometheus")])
def test_prometheus_reads_its_document_and_the_alerts(case: str, tmp_path: Path) -> None:
    for name, text in documents(case, "prometheus").items():
        (tmp_path / name).write_text(text.replace(f"{PROMETHEUS_FOLDER}/", f"{tmp_path}/"))
    checked = run(PROMTOOL.folder / "promtool", "check", "config", tmp_path / CONFIG_FILE)
    assert checked.returncode == 0, checked.stderr
    assert "rules found" in checked.stdout


def test_tempo_refuses_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "tempo.yaml").write_text(documents("dev", "tempo")["tempo.yaml"] + "ingestion: {}\n")
    assert run(TEMPO.folder / "tempo", f"-config.file={tmp_path}/tempo.yaml", "-config.verify=true").returncode != 0
