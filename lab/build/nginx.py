"""Makes the build targets of NGINX with the lab's module, and of the stand-in for NGINX Plus."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from lab.build.target import Run, Target
from lab.errors import LabError
from lab.paths import CACHE, REPOSITORY

CARGO_TARGET = CACHE / "cargo-target"
NGINX_SOURCE = REPOSITORY / "lab" / "stand_ins" / "nginx-otel-module"
PLUS_SOURCE = REPOSITORY / "lab" / "stand_ins" / "nginx-plus"


def nginx_source() -> Path:
    """Returns the folder with NGINX's source, of the version that the module's Cargo.lock names."""
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


def _make_nginx(run: Run, target: Path) -> None:
    run(["cargo", "build", "--release", "--locked"], cwd=NGINX_SOURCE, env={"CARGO_TARGET_DIR": str(CARGO_TARGET)})
    binaries = sorted(CARGO_TARGET.glob("release/build/*/out/objs/nginx"), key=lambda path: path.stat().st_mtime)
    if not binaries:
        raise LabError(f"cargo left no NGINX binary in {CARGO_TARGET}: remove that folder and try again.")
    shutil.copyfile(binaries[-1], target / "nginx")
    shutil.copyfile(CARGO_TARGET / "release" / "libngx_otel_module.so", target / "ngx_otel_module.so")
    source = nginx_source()
    shutil.copyfile(source / "conf" / "mime.types", target / "mime.types")
    shutil.copyfile(source / "docs" / "html" / "index.html", target / "index.html")
    run(["strip", str(target / "nginx"), str(target / "ngx_otel_module.so")])
    (target / "nginx").chmod(0o755)


NGINX = Target(
    "nginx",
    "NGINX 1.28.3 with the lab's OpenTelemetry module",
    150,
    NGINX_SOURCE,
    "cargo",
    "",
    _make_nginx,
)


def _make_nginx_plus(run: Run, target: Path) -> None:
    """Builds NGINX once more, with the stand-in linked in and configured alike, so that it loads the same module."""
    built = subprocess.run([str(NGINX.folder / "nginx"), "-V"], check=True, capture_output=True, text=True).stderr
    (arguments,) = re.findall("^configure arguments: (.*)$", built, re.MULTILINE)
    configure = [word for word in shlex.split(arguments) if not word.startswith("--builddir=")]
    source = target / "source"
    shutil.copytree(nginx_source(), source)
    run([str(source / "auto" / "configure"), *configure, "--builddir=objs", f"--add-module={PLUS_SOURCE}"], cwd=source)
    run(["make", "-f", "objs/Makefile", f"-j{os.cpu_count()}"], cwd=source)
    shutil.move(source / "objs" / "nginx", target / "nginx")
    shutil.rmtree(source)
    run(["strip", str(target / "nginx")])


NGINX_PLUS = Target(
    "nginx-plus-stand-in",
    "NGINX 1.28.3 with a stand-in for what NGINX Plus adds",
    60,
    PLUS_SOURCE,
    "cargo",
    "",
    _make_nginx_plus,
    starts_from=NGINX,
)
