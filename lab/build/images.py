"""Makes the lab's container images, and pushes them into its registry.

Each image holds programs that the lab built, on an empty base. Its name says what it is:
`localhost:5000/lab/<what>:<its own version>`. No image has the name of an official one.
"""

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from lab.build.target import Target
from lab.build.targets import COLLECTORS, COREDNS, NGINX, PROMETHEUS, TEMPO
from lab.cluster.network import REGISTRY_PORT
from lab.errors import LabError
from lab.paths import CACHE
from lab.progress import Progress

REGISTRY_ADDRESS = f"localhost:{REGISTRY_PORT}"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Image:
    """An image on an empty base.

    `files` are paths on this machine by their path in the image; `texts` are small files given by content;
    `links` are symbolic links; `folders` are empty folders that any user may write.
    """

    name: str
    entrypoint: tuple[str, ...]
    files: dict[str, Path]
    texts: dict[str, str] = field(default_factory=dict[str, str])
    links: dict[str, str] = field(default_factory=dict[str, str])
    folders: tuple[str, ...] = ()
    user: str = "10001:10001"
    stop_signal: str = "SIGTERM"

    @property
    def reference(self) -> str:
        """Returns the name that a pod uses."""
        return f"{REGISTRY_ADDRESS}/{self.name}"

    def layer(self) -> bytes:
        """Returns the image's one layer. The same inputs give the same bytes, so that a push can be skipped."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:

            def add(path: str, kind: bytes, mode: int, content: bytes = b"", target: str = "") -> None:
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
                archive.addfile(entry, io.BytesIO(content))

            entries = [*self.files, *self.texts, *self.links]
            parents = {str(parent) for path in entries for parent in Path(path).parents if str(parent) != "/"}
            for parent in sorted(parents - set(self.folders)):
                add(parent, tarfile.DIRTYPE, 0o755)
            for folder in self.folders:
                add(folder, tarfile.DIRTYPE, 0o1777)
            for path, source in sorted(self.files.items()):
                add(
                    path,
                    tarfile.REGTYPE,
                    0o755 if source.stat().st_mode & 0o100 else 0o644,
                    source.read_bytes(),
                )
            for path, text in sorted(self.texts.items()):
                add(path, tarfile.REGTYPE, 0o644, text.encode())
            for path, target in sorted(self.links.items()):
                add(path, tarfile.SYMTYPE, 0o777, target=target)
        return buffer.getvalue()


def pause_image() -> Image:
    """Returns the image of the program that holds a pod's namespaces."""
    return Image(
        f"lab/catatonit:{_catatonit_version()}",
        ("/catatonit", "-P"),
        {"/catatonit": Path("/usr/bin/catatonit")},
        user="65535:65535",
    )


def coredns_image() -> Image:
    """Returns the image of the cluster's DNS."""
    return Image(
        f"lab/coredns:{_version(COREDNS, 'github.com/coredns/coredns')}",
        ("/coredns",),
        {"/coredns": COREDNS.folder / "coredns"},
    )


def busybox_image() -> Image:
    """Returns the image of the tools with which a Collector drains: Debian's static busybox, of this machine's release.

    Its tag is not a version, because the stack files name it.
    """
    return Image("lab/busybox:debian", ("/bin/busybox",), {"/bin/busybox": Path("/bin/busybox")})


def rclone_image() -> Image:
    """Returns the image with which tests copy blocks as the how-to does: Debian's rclone, of this machine's release."""
    program = Path("/usr/bin/rclone")
    files = {"/usr/bin/rclone": program, **_shared_libraries(program)}
    return Image("lab/rclone:debian", ("/usr/bin/rclone",), files, folders=("/tmp",))


def oss_stack_images(versions: str = "current") -> list[Image]:
    """Returns the images of a set of versions, which its stack file deploys: see `lab.stack`."""
    certificates = {str(CERTIFICATES): CERTIFICATES}
    return [
        Image(
            f"lab/tempo:{_version(TEMPO, 'github.com/grafana/tempo')}",
            ("/tempo",),
            {"/tempo": TEMPO.folder / "tempo", **certificates},
            folders=("/tmp", "/var/tempo"),
        ),
        collector_image(COLLECTORS[versions]),
        busybox_image(),
        _nginx_image(certificates),
    ]


def collector_image(collector: Target) -> Image:
    """Returns the image of one of the lab's Collectors."""
    program = collector.folder / collector.name
    return Image(collector_name(collector), ("/otelcol",), {"/otelcol": program, str(CERTIFICATES): CERTIFICATES})


def collector_name(collector: Target) -> str:
    """Returns the name of the image of one of the lab's Collectors."""
    return f"lab/otelcol:{_version(collector, 'go.opentelemetry.io/collector/otelcol').removeprefix('v')}"


def prometheus_image() -> Image:
    """Returns the image of Prometheus, which only stacks that ask for one need."""
    # Prometheus 3.16.0 is v0.316.0 as a Go module.
    major, minor, fix = re.findall(r"v0\.(\d)(\d\d)\.(\d+)", _version(PROMETHEUS, "github.com/prometheus/prometheus"))[
        0
    ]
    return Image(
        f"lab/prometheus:v{major}.{int(minor)}.{fix}",
        ("/bin/prometheus",),
        {"/bin/prometheus": PROMETHEUS.folder / "prometheus"},
        folders=("/tmp", "/prometheus"),
        user="65534:65534",
    )


def _nginx_image(certificates: dict[str, Path]) -> Image:
    binary, module = NGINX.folder / "nginx", NGINX.folder / "ngx_otel_module.so"
    # The official image has a shell, with which pods read their nameservers.
    shell = Path("/bin/sh")
    return Image(
        "lab/nginx-otel:1.28.3",
        ("nginx", "-g", "daemon off;"),
        {
            "/bin/sh": shell.resolve(),
            "/usr/sbin/nginx": binary,
            "/usr/lib/nginx/modules/ngx_otel_module.so": module,
            "/etc/nginx/mime.types": NGINX.folder / "mime.types",
            "/usr/share/nginx/html/index.html": NGINX.folder / "index.html",
            **_shared_libraries(binary, module, shell),
            **certificates,
        },
        texts={
            "/etc/passwd": "root:x:0:0:root:/root:/bin/false\nnginx:x:101:101:nginx:/nonexistent:/bin/false\n",
            "/etc/group": "root:x:0:\nnginx:x:101:\n",
            "/etc/nsswitch.conf": "hosts: files dns\n",
        },
        links={"/etc/nginx/modules": "/usr/lib/nginx/modules"},
        folders=("/tmp", "/var/cache/nginx", "/var/log/nginx", "/run"),
        user="101:101",
        stop_signal="SIGQUIT",
    )


def _shared_libraries(*programs: Path) -> dict[str, Path]:
    """Returns the libraries that the programs are linked with, by the paths where the loader looks for them."""
    found: dict[str, Path] = {}
    for program in programs:
        listed = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            found[library] = Path(library).resolve()
    return found


def _catatonit_version() -> str:
    printed = subprocess.run(["catatonit", "--version"], check=True, capture_output=True, text=True).stdout
    matched = re.search(r"version (\d+(?:\.\d+)+)", printed)
    if matched is None:
        raise LabError(f"`catatonit --version` names no version: {printed!r}")
    return matched[1]


def _version(target: Target, module: str) -> str:
    """Returns the version of a module that the target's go.mod requires."""
    (version,) = re.findall(
        rf"^(?:require |\t){re.escape(module)} (v\S+)$", (target.source / "go.mod").read_text(), re.MULTILINE
    )
    return str(version)


def push(images: list[Image], progress: Progress) -> None:
    """Copies the images that the running registry does not hold yet into it.

    Raises:
        LabError: the registry did not take one.
    """
    marks = CACHE / "pushed"
    marks.mkdir(parents=True, exist_ok=True)
    for image in images:
        layer = image.layer()
        digest = hashlib.sha256(layer + repr((image.entrypoint, image.user, image.stop_signal)).encode()).hexdigest()
        mark = marks / image.name.replace("/", "-").replace(":", "-")
        if mark.exists() and mark.read_text() == digest:
            continue
        with progress.step(f"push {image.reference}"):
            _push_one(image, layer)
        mark.write_text(digest)


def _push_one(image: Image, layer: bytes) -> None:
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "Entrypoint": image.entrypoint,
                "User": image.user,
                "StopSignal": image.stop_signal,
                "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
                "Labels": {"org.opencontainers.image.title": f"{image.name}, built for the nginx-tracing lab"},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        },
        sort_keys=True,
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [image.reference], "Layers": ["layer.tar"]}]).encode()
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "image.tar"
        with tarfile.open(archive, "w") as docker_archive:
            for name, content in {
                "config.json": config,
                "layer.tar": layer,
                "manifest.json": manifest,
            }.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                docker_archive.addfile(entry, io.BytesIO(content))
        copied = subprocess.run(
            ["skopeo", "copy", "--insecure-policy", "--quiet", "--dest-tls-verify=false"]
            + [f"docker-archive:{archive}", f"docker://{image.reference}"],
            check=False,
            capture_output=True,
            text=True,
        )
    if copied.returncode != 0:
        raise LabError(f"{image.reference} could not be pushed to the lab's registry:\n{copied.stderr.strip()}")
