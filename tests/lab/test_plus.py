"""`edition: plus`: from the repository's certificate to a traced request, and back to NGINX, open source.

The repository, the registry, BuildKit, apt and the Dockerfile are real. The packages hold the lab's NGINX with
stand-ins for what F5 sells (`lab/stand_ins/plus_repository`). What is found here is true of everything around NGINX
Plus, and of NGINX Plus itself nothing.

The tests of this module share one stack and run in the order that they are written in.
"""

import base64
import contextlib
import json
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.build import images
from lab.build.builder import build
from lab.build.targets import BUILDKIT, DOCKER_BUILD_PROVIDER, NGINX_PLUS, VEGETA
from lab.cluster import host
from lab.cluster.certificates import Authority
from lab.cluster.lifecycle import in_node, kubectl
from lab.cluster.network import HOST_ADDRESS
from lab.progress import Progress
from lab.stand_ins.plus_repository import buildkit
from lab.stand_ins.plus_repository.debian import debian_image
from lab.stand_ins.plus_repository.packages import create_signing_key, public_key, stop_agent, write_repository
from lab.stand_ins.plus_repository.registry import ADDRESS, private_registry
from lab.stand_ins.plus_repository.repository import Repository
from settings.versions.sets import DEFAULT, SETS
from tests.lab.conftest import Stack, answers, connects, deploy, find_spans, forwarded, laid_out, objects, search
from tests.lab.marks import Marked, Search
from tests.otlp import free_port
from tests.processes import Shared
from tests.waiting import wait_for
from tools.measure.traces import missing
from tools.measure.traffic import Traffic

NAMESPACE = "tracing-plus"
IMAGE = "lab/stand_ins/nginx-plus"
RELEASE = SETS[DEFAULT].plus
"""The release that a stack takes by default, of which the lab's repository has a stand-in."""
USERNAME = "pusher"
MARK = secrets.token_hex(12)
REPORT_PORT = free_port()
"""Where reports of use would go."""


@dataclass
class Plant:
    """Holds what an image of NGINX Plus is made with."""

    folder: Path
    repository: Repository
    images: Path
    """The registry's files."""

    certificates: Path
    environment: dict[str, str]
    fingerprint: str
    password: str
    secrets: dict[str, str]
    """The stack's secrets, by their keys."""

    def marked(self) -> list[Marked]:
        """Returns the secrets to search for, without the lines that the certificate shares with its authority's."""
        public = (self.certificates / "ca.crt").read_text().splitlines()
        secret = {key: [line for line in text.splitlines() if line not in public] for key, text in self.secrets.items()}
        return [Marked(key, "\n".join(lines)) for key, lines in secret.items()]

    def tags(self) -> dict[str, str]:
        """Reads the image's tags in the registry, and their digests."""
        with httpx.Client(base_url=f"http://{ADDRESS}/v2/{IMAGE}", auth=(USERNAME, self.password)) as client:
            listed = client.get("/tags/list")
            names: list[str] = (listed.json()["tags"] or []) if listed.is_success else []
            kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
            kinds += ", application/vnd.docker.distribution.manifest.v2+json"
            heads = {name: client.head(f"/manifests/{name}", headers={"Accept": kinds}) for name in names}
        return {name: head.headers["docker-content-digest"] for name, head in heads.items()}


def license_token(until: int = 4_102_444_800, mark: str = MARK) -> str:
    """Makes a license that only F5 can tell from a real one."""

    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return ".".join((part({"alg": "RS256", "typ": "JWT"}), part({"sub": mark, "f5_sat": until}), part(mark)))


@pytest.fixture(scope="module")
def plant(
    lab: None, shared: Shared, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Plant]:
    """Runs the package repository, the registry and the builder."""
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress = Progress()
        shared.install(progress, host.PLUS_PACKAGES)
        build([NGINX_PLUS, BUILDKIT, DOCKER_BUILD_PROVIDER, VEGETA], progress)
        images.push([debian_image(progress)], progress)
    folder = tmp_path_factory.mktemp("plus")
    certificates = folder / "certificates"
    authority = Authority.create(certificates)
    authority.issue("server", "packages", hosts=(HOST_ADDRESS,))
    authority.issue("client", f"customer-{MARK}")
    served = folder / "served"
    fingerprint = create_signing_key(folder / "gnupg")
    write_repository(served / "plus", RELEASE, folder / "gnupg")
    (served / "keys").mkdir()
    # As published: several keys, a block each, and not the one that counts first.
    create_signing_key(folder / "other-gnupg")
    published = "".join(public_key(folder / home) for home in ("other-gnupg", "gnupg"))
    (served / "keys" / "signing.key").write_text(published)
    for home in ("gnupg", "other-gnupg"):
        stop_agent(folder / home)
    repository = Repository(
        served,
        certificate=certificates / "server.crt",
        key=certificates / "server.key",
        authority=certificates / "ca.crt",
    )
    password = f"password-{MARK}"
    with (
        contextlib.ExitStack() as stack,
        private_registry(folder / "registry", USERNAME, password) as stored,
        buildkit.builder(folder / "buildkit") as environment,
    ):
        stack.callback(repository.stop)
        yield Plant(
            folder,
            repository,
            stored,
            certificates,
            environment,
            fingerprint,
            password,
            {
                "nginxRepoCrt": (certificates / "client.crt").read_text(),
                "nginxRepoKey": (certificates / "client.key").read_text(),
                "nginxLicenseJwt": license_token(),
                "registryPassword": password,
            },
        )


def set_secret(stack: Stack, key: str, text: str) -> None:
    """Sets a secret as people do: from a file."""
    set_from_file(stack, text, "--secret", key)


def set_from_file(stack: Stack, text: str, *arguments: str) -> None:
    """Sets a value out of a file."""
    subprocess.run(
        ["pulumi", "config", "set", *arguments, f"--stack={stack.name}"],
        check=True,
        cwd=stack.folder,
        env=stack.environment,
        input=text,
        text=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def stack(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stack]:
    """Deploys NGINX, open source, with two replicas and all of NGINX Plus' configuration but `edition`."""
    with laid_out(tmp_path_factory.mktemp("stack") / "program", "plus", NAMESPACE) as made:
        made.environment |= plant.environment
        for key, text in plant.secrets.items():
            set_secret(made, key, text)
        made.configure(
            {
                "registryAddress": ADDRESS,
                "registryUsername": USERNAME,
                "nginx.replicas": "2",
                "plus.repository": f"{ADDRESS}/{IMAGE}",
                "plus.cache": f"{ADDRESS}/{IMAGE}:cache",
                "plus.baseImage": debian_image(Progress()).reference,
                "plus.builder": buildkit.BUILDER,
                "plus.packages.repository": f"{plant.repository.url}/plus",
                "plus.packages.signingKey": f"{plant.repository.url}/keys/signing.key",
                "plus.packages.fingerprints[0]": plant.fingerprint,
                "plus.usageReport.endpoint": f"{HOST_ADDRESS}:{REPORT_PORT}",
            }
        )
        set_from_file(made, (plant.certificates / "ca.crt").read_text(), "--path", "plus.packages.caBundle")
        deploy(made)
        yield made


def changed_under_requests(stack: Stack, shared: Shared, edition: str) -> None:
    """Changes the edition under requests, of which none may fail and no span may be lost.

    Other stacks' updates delay the network of new pods, which then lose spans. What goes wrong beside other tests is
    therefore tried once more alone.
    """
    wrong = deployed_under_requests(stack, edition)
    if wrong and shared.is_worker:
        with shared.alone():
            stack.configure({"edition": "oss" if edition == "plus" else "plus"})
            stack.up()
            wrong = deployed_under_requests(stack, edition)
    assert wrong == ""


def deployed_under_requests(stack: Stack, edition: str) -> str:
    """Deploys an edition under requests, and returns what went wrong; nothing if it is empty."""
    outputs = stack.outputs()
    stack.configure({"edition": edition})
    with Traffic(outputs["nginxUrl"], rate=50, keepalive=False) as traffic:
        time.sleep(1)
        stack.up()
        time.sleep(1)
    sent = traffic.sent
    print(f"{sent.count} requests while the edition changed, {len(sent.failed)} failed")
    if sent.failed:
        return f"requests failed: {sent.reasons()}"
    lost = missing(outputs["tempoUrl"], sent)
    return f"{len(lost)} of {sent.count} traces were lost" if lost else ""


def test_a_preview_asks_no_builder_no_registry_and_no_repository(stack: Stack, plant: Plant) -> None:
    stack.configure({"edition": "plus"})
    asked = len(plant.repository.requests)
    environment, stack.environment = stack.environment, stack.environment | {"BUILDX_CONFIG": "/nonexistent"}
    try:
        planned = stack.planned()
    finally:
        stack.environment = environment
    assert planned["docker-build:index:Image::nginx-plus"] == "create"
    assert planned["kubernetes:apps/v1:Deployment::nginx"] == "update"
    assert len(plant.repository.requests) == asked
    assert plant.tags() == {}


def test_from_open_source_to_plus_no_request_fails_and_spans_keep_arriving(
    stack: Stack, plant: Plant, shared: Shared
) -> None:
    changed_under_requests(stack, shared, "plus")
    outputs = stack.outputs()
    assert outputs["edition"] == "plus"
    assert re.fullmatch(rf"{re.escape(f'{ADDRESS}/{IMAGE}:{RELEASE}')}@sha256:[0-9a-f]{{64}}", outputs["nginxImage"])
    assert outputs["nginxImage"].split("@")[1] == plant.tags()[RELEASE]
    assert nginx_deployment()["spec"]["template"]["spec"]["containers"][0]["image"] == outputs["nginxImage"]


def nginx_deployment() -> dict[str, Any]:
    return json.loads(kubectl("get", "deployment", "nginx", f"--namespace={NAMESPACE}", "--output=json").stdout)


def test_a_request_of_plus_is_found_as_a_trace(stack: Stack) -> None:
    outputs = stack.outputs()
    trace_id = secrets.token_hex(16)
    httpx.get(outputs["nginxUrl"], headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"})
    (span,) = find_spans(outputs["tempoUrl"], trace_id)
    assert span.attributes["http.status_code"] == 200


def test_pods_of_plus_reach_the_endpoint_of_their_reports_and_no_other(stack: Stack) -> None:
    (address, _) = (pod["status"]["podIP"] for pod in nginx_pods())
    with socket.create_server((HOST_ADDRESS, REPORT_PORT)), socket.create_server((HOST_ADDRESS, 0)) as other:
        wait_for("the endpoint", lambda: connects(address, HOST_ADDRESS, REPORT_PORT), seconds=30)
        assert not connects(address, HOST_ADDRESS, other.getsockname()[1])


def test_nothing_changes_by_itself_by_a_umask_nor_by_a_new_certificate(stack: Stack, plant: Plant) -> None:
    assert stack.planned() == {}
    for file in (stack.folder / "docker" / "nginx-plus").iterdir():
        file.chmod(0o664)
    assert stack.planned() == {}
    Authority.create(plant.folder / "renewed").issue("client", "customer")
    for key, file in (("nginxRepoCrt", "client.crt"), ("nginxRepoKey", "client.key")):
        set_secret(stack, key, (plant.folder / "renewed" / file).read_text())
    assert stack.planned() == {}


class Refused:
    """Fails to build an image: nothing is pushed, NGINX goes on, and the message names the key."""

    def __init__(self, stack: Stack, plant: Plant) -> None:
        self._stack, self._plant = stack, plant
        self._url, self._tags = stack.outputs()["nginxUrl"], plant.tags()
        self.good = {
            "plus.packages.fingerprints[0]": plant.fingerprint,
            "plus.packages.repository": f"{plant.repository.url}/plus",
            "plus.repository": f"{ADDRESS}/{IMAGE}",
            "plus.builder": buildkit.BUILDER,
            "plus.release": RELEASE,
        }

    def __call__(self, rebuild: str, words: str, changed: dict[str, str] | None = None) -> None:  # noqa: D102
        self._stack.configure(self.good | {"plus.rebuild": rebuild} | (changed or {}))
        failed = self._stack.pulumi("up", "--yes", "--skip-preview")
        said = failed.stdout + failed.stderr
        assert failed.returncode != 0, rebuild
        assert words in said, said
        assert "Traceback" not in said, said
        assert self._plant.tags() == self._tags, rebuild
        assert answers(self._url), rebuild


@pytest.fixture
def refused(stack: Stack, plant: Plant) -> Generator[Refused]:
    """Gives the stack its good configuration back at the end."""
    made = Refused(stack, plant)
    yield made
    stack.configure(made.good)


def test_a_failed_build_names_the_key_pushes_nothing_and_leaves_what_runs(
    stack: Stack, plant: Plant, refused: Refused
) -> None:
    """Tries each failure. The certificate is that of another authority, from the test before."""
    refused("certificate", "refused `nginxRepoCrt` and `nginxRepoKey`")
    for key in ("nginxRepoCrt", "nginxRepoKey"):
        set_secret(stack, key, plant.secrets[key])
    nowhere = f"https://{HOST_ADDRESS}:{free_port()}/plus"
    refused("repository", "`plus.packages.repository`", {"plus.packages.repository": nowhere})
    refused("builder", "`plus.builder`", {"plus.builder": "missing"})
    set_secret(stack, "registryPassword", "wrong")
    refused("password", "`registryPassword`")
    set_secret(stack, "registryPassword", plant.password)


@pytest.mark.deep  # The same way to the same kind of message, for more of its causes.
def test_more_failed_builds_name_the_key_push_nothing_and_leave_what_runs(plant: Plant, refused: Refused) -> None:
    plant.repository.refuses = True
    refused("subscription", "refused `nginxRepoCrt` and `nginxRepoKey`")
    plant.repository.refuses = False
    refused("release", "`plus.release` of that name", {"plus.release": "R35"})
    words = "signed with none of the keys in `plus.packages.fingerprints`"
    refused("key", words, {"plus.packages.fingerprints[0]": "0" * 40})
    refused("registry", "`plus.repository`", {"plus.repository": f"localhost:{free_port()}/{IMAGE}"})


def test_a_missing_secret_is_said_before_anything_is_done(stack: Stack, plant: Plant) -> None:
    for key in ("nginxRepoCrt", "nginxRepoKey", "nginxLicenseJwt"):
        stack.must("config", "rm", key)
    failed = stack.pulumi("preview")
    said = failed.stdout + failed.stderr
    assert failed.returncode != 0
    for key, text in plant.secrets.items():
        if key != "registryPassword":
            assert f"pulumi config set --secret {key} < file" in said
        set_secret(stack, key, text)


@pytest.mark.deep  # The build is that of the way to Plus; the rollout is that of a new license.
def test_another_rebuild_builds_and_rolls(stack: Stack, plant: Plant) -> None:
    before = stack.outputs()["nginxImage"]
    stack.configure({"plus.rebuild": "again"})
    assert stack.planned()["docker-build:index:Image::nginx-plus"] == "update"
    stack.up()
    after = stack.outputs()["nginxImage"]
    assert after != before
    assert after.split("@")[1] == plant.tags()[RELEASE]


def test_the_image_has_no_setuid_file_no_credential_and_a_user(stack: Stack, plant: Plant, tmp_path: Path) -> None:
    reference = stack.outputs()["nginxImage"]
    copied = tmp_path / "image"
    source = f"docker://{ADDRESS}/{IMAGE}@{reference.split('@')[1]}"
    login = f"--src-creds={USERNAME}:{plant.password}"
    command = ["skopeo", "copy", "--insecure-policy", "--src-tls-verify=false", login, source, f"oci:{copied}:it"]
    subprocess.run(command, check=True, capture_output=True)
    layers, configuration = read_image(copied)
    root = tmp_path / "root"
    root.mkdir()
    for layer in layers:
        subprocess.run(["tar", "--extract", f"--file={layer}", f"--directory={root}"], check=True)
    setuid = [str(file.relative_to(root)) for file in root.rglob("*") if _is_setuid(file)]
    packages = re.findall(r"^Package: (\S+)$", (root / "var/lib/dpkg/status").read_text(), re.MULTILINE)
    size = sum(layer.stat().st_size for layer in layers)
    print(
        f"image: {size / 1e6:.1f} MB compressed; setuid files: {setuid}; {len(packages)} packages: {' '.join(packages)}"
    )
    assert setuid == []
    assert {"nginx-plus", "nginx-plus-module-otel", "ca-certificates"} <= set(packages)
    assert not {"gnupg", "curl", "wget", "gcc", "binutils", "make"} & set(packages)
    assert [path.name for path in (root / "etc/apt/trusted.gpg.d").glob("nginx*")] == []
    assert [path.name for path in (root / "etc/apt").rglob("*nginx*")] == []
    assert not any((root / "var/lib/apt/lists").iterdir()) if (root / "var/lib/apt/lists").exists() else True
    assert (configuration["config"]["User"], configuration["config"]["StopSignal"]) == ("101:101", "SIGQUIT")
    assert re.search("^nginx:x:101:101:", (root / "etc/passwd").read_text(), re.MULTILINE)


def _is_setuid(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and bool(file.stat().st_mode & 0o6000)


def read_image(folder: Path) -> tuple[list[Path], dict[str, Any]]:
    """Returns the layers of an image in OCI's layout, and its configuration with its history."""

    def blob(digest: str) -> Path:
        return folder / "blobs" / digest.replace(":", "/")

    (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
    manifest = json.loads(blob(entry["digest"]).read_text())
    if "manifests" in manifest:
        image = next(one for one in manifest["manifests"] if one["platform"]["os"] == "linux")
        manifest = json.loads(blob(image["digest"]).read_text())
    return [blob(layer["digest"]) for layer in manifest["layers"]], json.loads(
        blob(manifest["config"]["digest"]).read_text()
    )


def test_a_new_license_rolls_the_pods(stack: Stack) -> None:
    before = {pod["metadata"]["name"] for pod in nginx_pods()}
    set_secret(stack, "nginxLicenseJwt", license_token(until=4_070_908_800))
    stack.up()
    # Once in many runs the provider ended when the first new pod had just begun.
    wait_for("other pods alone", lambda: not before & {pod["metadata"]["name"] for pod in nginx_pods()}, seconds=60)


def nginx_pods(*, ending: bool = False) -> list[dict[str, Any]]:
    """Returns NGINX's pods, with or without those that are ending."""
    pods = objects("pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/name=nginx")
    return [pod for pod in pods if ending or "deletionTimestamp" not in pod["metadata"]]


def test_the_ratio_is_switched_at_run_time_through_an_api_that_only_the_pod_has(stack: Stack) -> None:
    stack.configure({"nginx.sampling.ratio": "0", "nginx.replicas": "1", "plus.samplingRatios[0]": "1"})
    stack.up()
    outputs = stack.outputs()
    path = "api/9/http/keyvals/sampling"
    assert httpx.get(f"{outputs['nginxUrl']}/{path}").status_code == 404
    # Also those that are ending: they trace as they were told.
    pods = wait_for("one pod", lambda: found if len(found := nginx_pods(ending=True)) == 1 else None, seconds=60)
    (pod,) = pods
    ask = f"import httpx; httpx.get('http://{pod['status']['podIP']}:8082/{path}', timeout=5)"
    from_node = in_node(sys.executable, "-c", ask)
    asked = subprocess.run(from_node, check=False, capture_output=True, text=True)
    assert "httpx.ConnectError" in asked.stderr
    httpx.get(f"{outputs['nginxUrl']}/before")
    with forwarded(NAMESPACE, f"pod/{pod['metadata']['name']}", 8082) as port:
        url = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{url}/{path}").json() == {}
        assert httpx.post(f"{url}/{path}", json={"ratio": "1"}).status_code == 201
        assert httpx.get(f"{url}/{path}").json() == {"ratio": "1"}
    httpx.get(f"{outputs['nginxUrl']}/after")
    assert wait_for("a trace after the switch", lambda: traces_of(outputs["tempoUrl"], "/after"), seconds=30)
    assert traces_of(outputs["tempoUrl"], "/before") == []


def traces_of(tempo: str, target: str) -> list[str]:
    """Returns the IDs of the traces with a request of a path."""
    return search(tempo, f'{{ span.http.target = "{target}" }}')


def test_no_secret_is_readable_outside_of_its_place(stack: Stack, plant: Plant) -> None:
    """Marks in every secret, after all that the tests before did and each command that prints or keeps something."""
    set_secret(stack, "nginxLicenseJwt", plant.secrets["nginxLicenseJwt"])
    stack.configure({"plus.rebuild": "for-the-search"})
    search = Search(plant.marked())
    logged = stack.pulumi("up", "--yes", "--skip-preview", "--logtostderr", "--logflow", "-v=8")
    assert logged.returncode == 0
    search.text("up at log level 8", logged.stdout + logged.stderr)
    # From level 9 on Pulumi's engine writes down each property that it passes on, secrets as well: that is its own, and
    # docs/explanation/secrets.md warns of it. Nothing else may.
    logged = stack.pulumi("up", "--yes", "--skip-preview", "--logtostderr", "--logflow", "-v=9")
    others = [line for line in logged.stderr.splitlines() if "arshaling property for RPC" not in line]
    search.text("up at log level 9, but for the engine's record of properties", "\n".join([logged.stdout, *others]))
    search.text("preview --diff", stack.must("preview", "--diff"))
    search.text("refresh", stack.must("refresh", "--yes"))
    stack.configure({"plus.packages.fingerprints[0]": "0" * 40})
    failed = stack.pulumi("up", "--yes", "--diff")
    assert failed.returncode != 0
    search.text("failing up", failed.stdout + failed.stderr)
    stack.configure({"plus.packages.fingerprints[0]": plant.fingerprint})
    look_everywhere(search, stack, plant)
    print(search.report())
    assert search.found == []
    assert all(size > 0 for size in search.places.values()), search.report()


def look_everywhere(search: Search, stack: Stack, plant: Plant) -> None:
    """Searches every place that outlives a command."""
    search.text("stack export", stack.must("stack", "export"))
    search.text("stack output", stack.must("stack", "output", "--json"))
    search.text("config", stack.must("config", "--json"))
    search.folder("state and its history", stack.folder / "backend")
    search.text("stack's file", (stack.folder / f"Pulumi.{stack.name}.yaml").read_text())
    # Layers, history, provenance and the build's cache are all in the registry.
    search.folder("registry: layers, history, provenance, cache", plant.images)
    for kind in ("configmaps", "deployments", "replicasets", "pods", "events"):
        listed = kubectl("get", kind, f"--namespace={NAMESPACE}", "--output=json")
        search.text(kind, listed.stdout)
    for pod in objects("pods", f"--namespace={NAMESPACE}"):
        search.text("pods' logs", kubectl("logs", pod["metadata"]["name"], f"--namespace={NAMESPACE}").stdout)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"nginx" in (process / "comm").read_bytes():
                search.text("NGINX's arguments and environment", (process / "cmdline").read_bytes())
                search.text("NGINX's arguments and environment", (process / "environ").read_bytes())
    search.text("repository's log", "\n".join(plant.repository.requests))
    search.text("BuildKit's log", (plant.folder / "buildkit" / "buildkitd.log").read_text())


def test_the_same_search_finds_a_leak(stack: Stack, plant: Plant) -> None:
    """Puts a license into a ConfigMap and a key into a layer, and finds both."""
    kept = plant.images / "leak"
    kept.mkdir()
    (kept / "key").write_text(plant.secrets["nginxRepoKey"])
    with tarfile.open(kept / "data", "w:gz") as layer:
        layer.add(kept / "key", "etc/ssl/nginx/nginx-repo.key")
    (kept / "key").unlink()
    literal = f"--from-literal=license={plant.secrets['nginxLicenseJwt']}"
    assert kubectl("create", "configmap", "leak", literal, f"--namespace={NAMESPACE}").returncode == 0
    search = Search(plant.marked())
    try:
        look_everywhere(search, stack, plant)
    finally:
        kubectl("delete", "configmap", "leak", f"--namespace={NAMESPACE}")
        shutil.rmtree(kept)
    in_layer = "nginxRepoKey in registry: layers, history, provenance, cache"
    assert sorted(search.found) == ["nginxLicenseJwt in configmaps", in_layer]


def test_the_search_finds_each_secret_in_its_place(stack: Stack, plant: Plant) -> None:
    search = Search(plant.marked())
    search.text("state", stack.must("stack", "export", "--show-secrets"))
    search.text("secrets", kubectl("get", "secrets", f"--namespace={NAMESPACE}", "--output=json").stdout)
    in_state = {f"{key} in state" for key in plant.secrets}
    assert set(search.found) == {*in_state, "nginxLicenseJwt in secrets", "registryPassword in secrets"}


@pytest.mark.deep  # The way there is the same rollout.
def test_from_plus_back_to_open_source_no_request_fails_and_spans_keep_arriving(
    stack: Stack, plant: Plant, shared: Shared
) -> None:
    stack.configure({"nginx.sampling.ratio": "1", "nginx.replicas": "2"})
    stack.up()
    changed_under_requests(stack, shared, "oss")
    assert stack.outputs()["edition"] == "oss"
    # Others may run the image: it stays.
    assert RELEASE in plant.tags()
