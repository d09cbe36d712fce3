"""What the lab is made of, and how each piece is built.

A piece is built once and kept in the cache under a hash of its inputs: its folder in `lab/build/modules`, the recipe
and the compiler's version. Versions are written in each folder's go.mod or Cargo.toml and nowhere else,
except those that a program is stamped with.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lab.errors import LabError
from lab.paths import CACHE, MODULES, REPOSITORY

Run = Callable[..., None]
"""Runs a command with its output in the piece's log; raises `subprocess.CalledProcessError`."""


@dataclass(frozen=True)
class Piece:
    """A program that the lab builds. Not a Debian package: those are in `lab.cluster.host`."""

    name: str
    what: str
    """What it is, as shown while it is built."""

    usual_seconds: int
    """How long it took on two idle cores; shown, and used for the order, until this machine has a time of its own."""

    source: Path
    compiler: str
    """`go` or `cargo`."""

    recipe: str
    """Everything about the build that is not in `source`; a change of it builds the piece again."""

    make: Callable[[Run, Path], None]
    """Builds into the folder that is its last argument."""

    @property
    def folder(self) -> Path:
        """Where the built piece is, or will be."""
        return CACHE / "pieces" / f"{self.name}-{self._key()}"

    @property
    def is_built(self) -> bool:
        """Whether the cache holds this piece for the inputs as they are now."""
        return self.folder.is_dir()

    def _key(self) -> str:
        digest = hashlib.sha256()
        digest.update(f"{compiler_version(self.compiler)}\n{self.recipe}\n".encode())
        for file in _input_files(self.source):
            digest.update(f"{file.relative_to(self.source)}\n".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()[:16]


def _input_files(source: Path) -> Iterator[Path]:
    """The files that decide what is built; not documentation, nor what a build leaves behind."""
    for file in sorted(source.rglob("*")):
        relative = file.relative_to(source)
        if file.is_file() and file.suffix not in {".md", ".json"} and not {"target", "tests"} & set(relative.parts):
            yield file


@cache
def compiler_version(compiler: str) -> str:
    """The compiler's version line.

    Raises:
        LabError: the compiler is not installed, or too old.
    """
    command = {"go": ["go", "env", "GOVERSION"], "cargo": ["cargo", "--version"]}[compiler]
    needed, what = {
        "go": ((1, 26, 7), "The lab builds Kubernetes and Pulumi with Go 1.26.7 or later"),
        "cargo": ((1, 85, 0), "The lab builds NGINX and its module with Rust 1.85 or later"),
    }[compiler]
    advice = f"{what}: install it and put `{compiler}` on PATH."
    if shutil.which(compiler) is None:
        raise LabError(f"`{compiler}` was not found. {advice}")
    # Of the toolchain at hand: Go would otherwise fetch the one that a go.mod asks for.
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    printed = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=REPOSITORY, env=environment
    ).stdout.strip()
    # A first release of Go has no third number.
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", printed)
    if found is None or tuple(int(number or 0) for number in found.groups()) < needed:
        raise LabError(f"`{' '.join(command)}` says {printed!r}. {advice}")
    return printed


GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def module_folder(source: Path, module: str) -> Path:
    """The folder with a Go module's source, of the version that a piece asks for; fetched if it is not there."""
    found = subprocess.run(
        ["go", "mod", "download", "-json", module],
        check=True,
        capture_output=True,
        text=True,
        cwd=source,
        env=os.environ | GO_ENVIRONMENT,
    )
    return Path(json.loads(found.stdout)["Dir"])


def _go_piece(
    name: str,
    what: str,
    usual_seconds: int,
    *,
    package: str = ".",
    stamp: str = "",
    links: tuple[str, ...] = (),
    copies: tuple[tuple[str, str], ...] = (),
    embeds: tuple[tuple[str, str], ...] = (),
) -> Piece:
    """A Go program.

    Args:
        name: the piece, its folder in `lab/build/modules` and the program it builds.
        what: what it is, for people.
        usual_seconds: cold build on two idle cores.
        package: the main package.
        stamp: a linker's `-X` setting, for programs that must know their version.
        links: other names that the program is called by.
        copies: (module, file) pairs laid beside the program.
        embeds: (module, file) pairs laid beside the source before it is compiled.
    """
    linker = "-s -w" + (f" -X {stamp}" if stamp else "")
    source = MODULES / name

    def make(run: Run, target: Path) -> None:
        for module, file in embeds:
            shutil.copyfile(module_folder(source, module) / file, source / Path(file).name)
        build = [
            "go",
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            linker,
            "-o",
            str(target / name),
            package,
        ]
        run(build, cwd=source, env=GO_ENVIRONMENT)
        for link in links:
            (target / link).symlink_to(name)
        for module, file in copies:
            copied = shutil.copyfile(module_folder(source, module) / file, target / Path(file).name)
            Path(copied).chmod(0o755)

    recipe = repr((package, linker, links, copies, embeds, sorted(GO_ENVIRONMENT.items())))
    return Piece(name, what, usual_seconds, source, "go", recipe, make)


CARGO_TARGET = CACHE / "cargo-target"
NGINX_SOURCE = REPOSITORY / "lab" / "stand_ins" / "nginx-otel-module"


def _make_nginx(run: Run, target: Path) -> None:
    run(["cargo", "build", "--release", "--locked"], cwd=NGINX_SOURCE, env={"CARGO_TARGET_DIR": str(CARGO_TARGET)})
    binaries = sorted(CARGO_TARGET.glob("release/build/*/out/objs/nginx"), key=lambda path: path.stat().st_mtime)
    if not binaries:
        raise LabError(f"cargo left no NGINX binary in {CARGO_TARGET}: remove that folder and try again.")
    shutil.copyfile(binaries[-1], target / "nginx")
    shutil.copyfile(CARGO_TARGET / "release" / "libngx_otel_module.so", target / "ngx_otel_module.so")
    nginx_source = _nginx_source()
    shutil.copyfile(nginx_source / "conf" / "mime.types", target / "mime.types")
    shutil.copyfile(nginx_source / "docs" / "html" / "index.html", target / "index.html")
    run(["strip", str(target / "nginx"), str(target / "ngx_otel_module.so")])
    (target / "nginx").chmod(0o755)


def _nginx_source() -> Path:
    """The folder with NGINX's source, of the version that the module's Cargo.lock names."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version=1"],
        check=True,
        capture_output=True,
        text=True,
        cwd=NGINX_SOURCE,
    )
    (source,) = (
        Path(package["manifest_path"]).parent / "nginx"
        for package in json.loads(metadata.stdout)["packages"]
        if package["name"] == "nginx-src"
    )
    return source


KUBERNETES = _go_piece(
    "kubernetes",
    "Kubernetes 1.32.2, etcd 3.5.16 and kubectl",
    385,
    stamp="k8s.io/component-base/version.gitVersion=v1.32.2",
    links=(
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "kubectl",
    ),
)
KUBERNETES_PROVIDER = _go_piece(
    "pulumi-resource-kubernetes",
    "Pulumi's Kubernetes provider 4.25.0",
    485,
    embeds=tuple(
        ("github.com/pulumi/pulumi-kubernetes/provider/v4", f"cmd/pulumi-resource-kubernetes/{file}")
        for file in ("schema.json", "terraform-mapping.json")
    ),
)
PULUMI = _go_piece(
    "pulumi",
    "the Pulumi CLI 3.259.0",
    250,
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    stamp="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",
)
LANGUAGE_HOST = _go_piece(
    "pulumi-language-python",
    "Pulumi's Python language host",
    23,
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    copies=(("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
)
TEMPO = _go_piece("tempo", "Grafana Tempo (a commit after 2.7.2)", 157, package="github.com/grafana/tempo/cmd/tempo")
COLLECTOR = _go_piece("otelcol", "the OpenTelemetry Collector 0.126.0", 139)
COREDNS = _go_piece("coredns", "CoreDNS 1.11.3", 98, package="github.com/coredns/coredns")
KUBE_ROUTER = _go_piece(
    "kube-router",
    "kube-router 2.1.0, which enforces NetworkPolicies",
    87,
    package="github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
)
REGISTRY = _go_piece(
    "registry",
    "the image registry 3.0.0",
    55,
    package="github.com/distribution/distribution/v3/cmd/registry",
)
DOCKER_BUILD_PROVIDER = _go_piece(
    "pulumi-resource-docker-build",
    "Pulumi's docker-build provider 0.0.22",
    170,
    package="github.com/pulumi/pulumi-docker-build/provider/cmd/pulumi-resource-docker-build",
    stamp="github.com/pulumi/pulumi-docker-build/provider.Version=0.0.22",
)
BUILDKIT = _go_piece("buildkitd", "BuildKit 0.31.1", 94, package="github.com/moby/buildkit/cmd/buildkitd")
PROMTOOL = _go_piece(
    "promtool", "Prometheus' checker of rules", 200, package="github.com/prometheus/prometheus/cmd/promtool"
)
"""As the one above."""
VEGETA = _go_piece("vegeta", "the load generator vegeta 12.12.0", 20, package="github.com/tsenart/vegeta/v12")
"""Not a part of the lab either: what measures it sends requests with it."""
CROSSPLANE = _go_piece("crossplane", "F5's checker of nginx.conf", 5)
"""Not a part of the lab: the tests check what the program writes with it."""
ACTIONLINT = _go_piece(
    "actionlint",
    "the checker of GitHub workflows actionlint 1.7.12",
    10,
    package="github.com/rhysd/actionlint/cmd/actionlint",
)
"""Not a part of the lab: the tests check the workflows with it."""
NGINX = Piece(
    "nginx",
    "NGINX 1.28.3 with the lab's OpenTelemetry module",
    150,
    NGINX_SOURCE,
    "cargo",
    "",
    _make_nginx,
)


def _make_nginx_plus(run: Run, target: Path) -> None:
    """NGINX once more, with the stand-in linked in: what is configured as the first one loads the same module."""
    built = subprocess.run([str(NGINX.folder / "nginx"), "-V"], check=True, capture_output=True, text=True).stderr
    (arguments,) = re.findall("^configure arguments: (.*)$", built, re.MULTILINE)
    configure = [word for word in shlex.split(arguments) if not word.startswith("--builddir=")]
    source = target / "source"
    shutil.copytree(_nginx_source(), source)
    run([str(source / "auto" / "configure"), *configure, "--builddir=objs", f"--add-module={PLUS_SOURCE}"], cwd=source)
    run(["make", "-f", "objs/Makefile", f"-j{os.cpu_count()}"], cwd=source)
    shutil.move(source / "objs" / "nginx", target / "nginx")
    shutil.rmtree(source)
    run(["strip", str(target / "nginx")])


PLUS_SOURCE = REPOSITORY / "lab" / "stand_ins" / "nginx-plus"
NGINX_PLUS = Piece(
    "nginx-plus-stand-in",
    "NGINX 1.28.3 with a stand-in for what NGINX Plus adds",
    60,
    PLUS_SOURCE,
    "cargo",
    NGINX.folder.name,
    _make_nginx_plus,
)
"""Needs NGINX, which is built first."""

CLUSTER_PIECES = (KUBERNETES, COREDNS, KUBE_ROUTER, REGISTRY)
OSS_STACK_PIECES = (PULUMI, LANGUAGE_HOST, KUBERNETES_PROVIDER, DOCKER_BUILD_PROVIDER, TEMPO, COLLECTOR, NGINX)
